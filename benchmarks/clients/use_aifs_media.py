"""Ours, with a SQLite ledger and a local folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import steps

from aifs_media import MediaGenerator

if TYPE_CHECKING:
    from collections.abc import Callable

MODEL = "replicate:black-forest-labs/flux-schnell"


class AifsMedia:
    """MediaGenerator."""

    def __init__(self) -> None:
        host = steps.SERVER.removeprefix("http://")
        self._media = MediaGenerator.from_env(
            {
                "REPLICATE_API_KEY": "r8_x",
                "REPLICATE_BASE_URL": f"{steps.SERVER}/replicate/v1",
                "REPLICATE_DELIVERY_HOSTS": host,
                "MEDIA_TRUSTED_HOSTS": host,
                "MEDIA_STORAGE": "local",
                "MEDIA_LOCAL_DIR": str(steps.FOLDER / "media"),
                "MEDIA_LEDGER": f"sqlite:///{steps.FOLDER / 'jobs.db'}",
            }
        )

    async def call(self) -> None:
        await self._media.image(steps.PROMPT, model=MODEL, on_cancel="cancel", timeout=steps.TIMEOUT)

    async def work(self, keep: Callable[[str], None]) -> None:
        del keep  # the ledger does
        await self._media.image(steps.PROMPT, model=MODEL)

    async def restart(self, kept: str | None) -> dict[str, int]:
        del kept
        report = await self._media.recover()
        return {"client": len(report.assets), "id": 0, "list": 0}


steps.run(AifsMedia())
