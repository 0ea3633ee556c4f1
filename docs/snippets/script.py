import anyio

from aifs_media import MediaGenerator


async def main() -> None:
    async with MediaGenerator.from_env() as media:
        picture = await media.image("A lighthouse in a storm", size="1024x1024")
        film = await media.video("Waves break on the rocks of a lighthouse", duration=8)
    print(picture.url)
    print(film.url, film.duration, "s")


anyio.run(main)
