"""`openai`, its videos: the shape that Poe and other services serve too."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import steps
from openai import AsyncOpenAI

if TYPE_CHECKING:
    from collections.abc import Callable

warnings.simplefilter("ignore")  # each call says that OpenAI's own service was to end


class OpenAI:
    """Its asynchronous client."""

    def __init__(self) -> None:
        options: dict[str, Any] = {} if steps.RETRIES is None else {"max_retries": int(steps.RETRIES)}
        self._videos = AsyncOpenAI(
            api_key="k", base_url=f"{steps.SERVER}/openai/v1", timeout=steps.TIMEOUT, **options
        ).videos

    async def call(self) -> None:
        await self._videos.create_and_poll(prompt=steps.PROMPT, poll_interval_ms=200)

    async def work(self, keep: Callable[[str], None]) -> None:
        video = await self._videos.create(prompt=steps.PROMPT)
        keep(video.id)
        await self._videos.poll(video.id, poll_interval_ms=200)

    async def restart(self, kept: str | None) -> dict[str, int]:
        by_id = by_list = 0
        if kept:
            by_id = await self._content(kept)
        async for one in self._videos.list():
            if one.prompt == steps.PROMPT:
                by_list += await self._content(one.id)
        return {"client": 0, "id": by_id, "list": by_list}

    async def _content(self, name: str) -> int:
        return int((await self._videos.download_content(name)).content.startswith(b"\x89PNG"))


steps.run(OpenAI())
