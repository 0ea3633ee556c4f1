"""`runwayml`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import steps
from runwayml import AsyncRunwayML

if TYPE_CHECKING:
    from collections.abc import Callable


class Runway:
    """Its asynchronous client."""

    def __init__(self) -> None:
        options: dict[str, Any] = {} if steps.RETRIES is None else {"max_retries": int(steps.RETRIES)}
        self._client = AsyncRunwayML(api_key="k", base_url=f"{steps.SERVER}/runway", timeout=steps.TIMEOUT, **options)

    async def _create(self) -> Any:
        return await self._client.text_to_image.create(model="gen4_image", prompt_text=steps.PROMPT, ratio="1024:1024")

    async def call(self) -> None:
        await (await self._create()).wait_for_task_output()

    async def work(self, keep: Callable[[str], None]) -> None:
        task = await self._create()
        keep(task.id)
        await task.wait_for_task_output()

    async def restart(self, kept: str | None) -> dict[str, int]:
        if not kept:
            return {"client": 0, "id": 0, "list": 0}
        task: Any = await self._client.tasks.retrieve(kept)
        return {"client": 0, "id": steps.fetched(task.output[0]), "list": 0}


steps.run(Runway())
