from aifs_media import MediaGenerator

async with MediaGenerator.from_env() as media:
    asset = await media.image(
        "A lighthouse in a storm",
        models=["replicate:black-forest-labs/flux-schnell", "poe:imagen-4"],
    )
    print(f"{asset.provider}:{asset.model}", asset.warnings)
