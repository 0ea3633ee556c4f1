from aifs_media import MediaGenerator

media = MediaGenerator.from_env()
film = await media.video(
    "A paper boat sails down a rainy street",
    model="poe:veo-3.1",
    duration=6,
    aspect_ratio="16:9",
    negative_prompt="people",
)
print(film.url, film.width, film.height, film.duration, film.warnings)
