import anyio

from aifs_media import MediaGenerator


async def main() -> None:
    async with MediaGenerator.from_env() as media:
        asset = await media.image(
            "A red fox", model="openai:gpt-image-2.5-flare", size="1536x864", options={"quality": "high"}
        )
        print(asset.url, asset.cost.amount, asset.cost.quantity, "tokens")


anyio.run(main)
