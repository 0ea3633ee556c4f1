from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette

from aifs_media import MediaGenerator
from aifs_media.contrib.web import webhook_app

media = MediaGenerator.from_env()


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with media:
        await media.recover()
        yield


app = Starlette(lifespan=lifespan)
app.mount("/webhooks", webhook_app(media))
