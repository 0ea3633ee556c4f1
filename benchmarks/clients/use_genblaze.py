"""`genblaze` with its Replicate provider, which uses `replicate` 1.x and takes the address from REPLICATE_BASE_URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import steps
from genblaze_core import Modality, Pipeline, Step
from genblaze_replicate import ReplicateProvider

if TYPE_CHECKING:
    from collections.abc import Callable

MODEL = "black-forest-labs/flux-schnell"


class Genblaze:
    """A pipeline of one step; and the step alone where only that takes `on_submit`."""

    def __init__(self) -> None:
        self._provider = ReplicateProvider(api_token="r8_x", http_timeout=steps.TIMEOUT, poll_interval=0.2)
        self._step = Step(provider="replicate", model=MODEL, prompt=steps.PROMPT, modality=Modality.IMAGE)

    async def call(self) -> None:
        pipeline = Pipeline("one").step(self._provider, model=MODEL, prompt=steps.PROMPT, modality=Modality.IMAGE)
        await pipeline.arun(raise_on_failure=True)

    async def work(self, keep: Callable[[str], None]) -> None:
        await self._provider.ainvoke(self._step, {"on_submit": lambda _step, name: keep(name)})

    async def restart(self, kept: str | None) -> dict[str, int]:
        if not kept:
            return {"client": 0, "id": 0, "list": 0}
        done = await self._provider.aresume(kept, self._step)
        if not done.assets:
            raise RuntimeError(f"{done.status} {done.error}")
        return {"client": 0, "id": steps.fetched(done.assets[0].url), "list": 0}


steps.run(Genblaze())
