from aifs_media import MediaGenerator

async with MediaGenerator.from_env() as media:
    asset = await media.image("A lighthouse in a storm")
    address = await media.url(asset)
    print(address.url, address.expires_at)
    await media.delete(asset)
