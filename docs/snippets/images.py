from aifs_media import MediaGenerator, PartialResultError

media = MediaGenerator.from_env()
try:
    assets = await media.images("A cat astronaut", n=4)
except PartialResultError as error:
    assets = list(error.assets)  # paid for and stored
    print("not stored:", error.failed)
print([asset.object_key for asset in assets])
