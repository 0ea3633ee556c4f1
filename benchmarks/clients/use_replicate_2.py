"""`replicate` 2.x."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import steps
from replicate import AsyncReplicate

if TYPE_CHECKING:
    from collections.abc import Callable

MODEL = "black-forest-labs/flux-schnell"


class Replicate2:
    """Its asynchronous client."""

    def __init__(self) -> None:
        options: dict[str, Any] = {} if steps.RETRIES is None else {"max_retries": int(steps.RETRIES)}
        self._client = AsyncReplicate(
            bearer_token="r8_x", base_url=f"{steps.SERVER}/replicate/v1", timeout=steps.TIMEOUT, **options
        )

    async def call(self) -> None:
        await self._client.run(MODEL, input={"prompt": steps.PROMPT})

    async def work(self, keep: Callable[[str], None]) -> None:
        owner, name = MODEL.split("/")
        prediction = await self._client.models.predictions.create(
            model_owner=owner, model_name=name, input={"prompt": steps.PROMPT}
        )
        keep(prediction.id)
        await self._client.predictions.wait(prediction.id)

    async def restart(self, kept: str | None) -> dict[str, int]:
        by_id = by_list = 0
        if kept:
            found: Any = await self._client.predictions.get(prediction_id=kept)
            by_id = steps.fetched(found.output[0])
        listed: Any
        async for listed in self._client.predictions.list():
            if listed.input["prompt"] == steps.PROMPT:
                by_list += steps.fetched(listed.output[0])
        return {"client": 0, "id": by_id, "list": by_list}


steps.run(Replicate2())
