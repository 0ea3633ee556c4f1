"""`replicate` 1.x."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import replicate
import steps

if TYPE_CHECKING:
    from collections.abc import Callable

MODEL = "black-forest-labs/flux-schnell"


class Replicate1:
    """The asynchronous calls of its client."""

    def __init__(self) -> None:
        self._client = replicate.Client(
            api_token="r8_x", base_url=f"{steps.SERVER}/replicate", timeout=httpx.Timeout(steps.TIMEOUT)
        )

    async def call(self) -> None:
        # `run` has a time-out of its own in place of the client's: `wait` and half a second.
        await self._client.async_run(MODEL, input={"prompt": steps.PROMPT}, wait=int(steps.TIMEOUT))

    async def work(self, keep: Callable[[str], None]) -> None:
        prediction = await self._client.models.predictions.async_create(MODEL, input={"prompt": steps.PROMPT})
        keep(prediction.id)
        await prediction.async_wait()

    async def restart(self, kept: str | None) -> dict[str, int]:
        by_id = by_list = 0
        if kept:
            by_id = steps.fetched((await self._client.predictions.async_get(kept)).output[0])
        for one in (await self._client.predictions.async_list()).results:
            if one.input["prompt"] == steps.PROMPT:
                by_list += steps.fetched(one.output[0])
        return {"client": 0, "id": by_id, "list": by_list}


steps.run(Replicate1())
