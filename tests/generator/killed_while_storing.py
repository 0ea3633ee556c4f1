"""A process that makes one image and dies by SIGKILL when it would store the first byte.

killed_while_storing.py LEDGER FOLDER MODEL BACKEND; the provider's settings are the environment's.
"""

from __future__ import annotations

import os
import signal
import sys

import anyio

from aifs_media import MediaGenerator, Settings
from aifs_media.ledger.sqlite import SqliteLedger
from aifs_media.storage.local import LocalStorage


class DeadlyStorage(LocalStorage):
    """Storing is the end."""

    async def put(self, *arguments: object, **options: object) -> None:
        """Die."""
        os.kill(os.getpid(), signal.SIGKILL)


async def main() -> None:
    """Make the image."""
    ledger, folder, model, _ = sys.argv[1:]
    media = MediaGenerator(settings=Settings.from_env(), ledger=SqliteLedger(ledger), storage=DeadlyStorage(folder))
    await media.image("a fox", model=model, job_id="the-job")


anyio.run(main, backend=sys.argv[4])
