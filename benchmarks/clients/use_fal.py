"""`fal-client`. Its host is a setting, its scheme is not: it always speaks TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import steps
from fal_client import AsyncClient

if TYPE_CHECKING:
    from collections.abc import Callable

MODEL = "fal-ai/flux/schnell"


class Fal:
    """Its asynchronous client."""

    def __init__(self) -> None:
        self._client = AsyncClient(key="a:b", default_timeout=steps.TIMEOUT)

    async def call(self) -> None:
        await self._client.subscribe(MODEL, {"prompt": steps.PROMPT})

    async def work(self, keep: Callable[[str], None]) -> None:
        handle = await self._client.submit(MODEL, {"prompt": steps.PROMPT})
        keep(handle.request_id)
        await handle.get()

    async def restart(self, kept: str | None) -> dict[str, int]:
        if not kept:
            return {"client": 0, "id": 0, "list": 0}
        result = await self._client.result(MODEL, kept)
        return {"client": 0, "id": steps.fetched(result["images"][0]["url"]), "list": 0}


steps.run(Fal())
