from aifs_media import MediaGenerator

async with MediaGenerator.from_env() as media:
    picture = await media.image("A paper boat on a puddle", aspect_ratio="16:9")
    film = await media.video("The boat begins to move", model="poe:veo-3.1", image=picture)
