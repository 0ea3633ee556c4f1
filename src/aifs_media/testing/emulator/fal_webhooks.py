"""fal's webhooks: notes about jobs that have ended, signed with Ed25519, sent to loopback addresses only."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
import urllib.parse
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aifs_media.testing.emulator.webhooks import LOOK_AGAIN, LOOPBACK, RETRY_WAITS, delivered

if TYPE_CHECKING:
    from aifs_media.testing.emulator.fal_jobs import Ending, FalJob
    from aifs_media.testing.emulator.world import World

USER_ID = "emulated_user"


class FalWebhooks:
    """Watches jobs from a thread of its own, which starts with the first one that names a webhook."""

    def __init__(self, world: World) -> None:
        """Watch nothing yet, and make a key."""
        self._world = world
        self._key = Ed25519PrivateKey.generate()
        self._watched: list[FalJob] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def keys(self) -> dict[str, object]:
        """Return the published half of the key, as a JSON Web Key Set."""
        public = base64.urlsafe_b64encode(self._key.public_key().public_bytes_raw()).rstrip(b"=").decode()
        return {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": public}]}

    def watch(self, job: FalJob) -> None:
        """Deliver this job's note, if its create asked for that."""
        if urllib.parse.urlsplit(job.webhook).hostname not in LOOPBACK:
            return
        with self._lock:
            self._watched.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="aifs-media emulator fal webhooks", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._world.clock.stopped:
            with self._lock:
                watched = list(self._watched)
            for job in watched:
                status, ended = job.at(self._world.clock.now())
                if status in {"COMPLETED", "REMOVED"}:
                    with self._lock:
                        self._watched.remove(job)
                    if ended is not None:
                        self._tell(job, ended)
            time.sleep(LOOK_AGAIN)

    def _tell(self, job: FalJob, ended: Ending) -> None:
        fault = self._world.faults.take("fal.webhook", str(job.input.get("prompt", "")))
        kind = "" if fault is None else fault.kind
        if fault is not None and kind == "delay":
            time.sleep(fault.seconds)
        if kind == "drop_before":
            return
        body = json.dumps(_note(job, ended)).encode()
        headers = self.signed(job.id, body)
        for wait in (0.0, *RETRY_WAITS):
            time.sleep(wait)
            if self._world.clock.stopped or delivered(job.webhook, body, headers):
                break
        if kind == "duplicate":
            delivered(job.webhook, body, headers)

    def signed(self, request_id: str, body: bytes) -> dict[str, str]:
        """Return the headers of one note."""
        sent = str(int(time.time()))
        content = "\n".join((request_id, USER_ID, sent, hashlib.sha256(body).hexdigest())).encode()
        return {
            "content-type": "application/json",
            "x-fal-webhook-request-id": request_id,
            "x-fal-webhook-user-id": USER_ID,
            "x-fal-webhook-timestamp": sent,
            "x-fal-webhook-signature": self._key.sign(content).hex(),
        }


def _note(job: FalJob, ended: Ending) -> dict[str, object]:
    failed = ended.result.status_code >= 400
    return {
        "request_id": job.id,
        "gateway_request_id": job.id,
        "status": "ERROR" if failed else "OK",
        **({"error": ended.error} if failed else {}),
        "payload": json.loads(bytes(ended.result.body)),
    }
