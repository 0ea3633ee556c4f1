from aifs_media import MediaGenerator

asset = await MediaGenerator.from_env().image("A serene mountain landscape at sunset")
print(asset.url, asset.sha256, asset.width, asset.cost.amount)
