"""Replicate's webhooks: signed notes about a prediction, sent to loopback addresses only."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import secrets
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from aifs_media.testing.emulator.predictions import TERMINAL, Prediction

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aifs_media.testing.emulator.world import World

_KEY = hashlib.sha256(b"aifs-media emulator").digest()[:24]
WEBHOOK_SECRET = "whsec_" + base64.b64encode(_KEY).decode()
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_DEFAULT_EVENTS = ("output", "completed")
# Real seconds between looks at the watched predictions, and for one delivery.
LOOK_AGAIN = 0.02
_DELIVERY_TIMEOUT = 5.0
# Real seconds before the retries of a terminal note; the real service goes on for about a minute.
RETRY_WAITS = (0.1, 0.2, 0.4)
_DELIVERED = range(200, 300)


@dataclass
class _Watched:
    prediction: Prediction
    url: str
    events: frozenset[str]
    told: set[str] = field(default_factory=set[str])


class Webhooks:
    """Watches predictions from a thread of its own, which starts with the first one that names a webhook."""

    def __init__(self, world: World) -> None:
        """Watch nothing yet."""
        self._world = world
        self._watched: list[_Watched] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def watch(self, prediction: Prediction, body: Mapping[str, object]) -> None:
        """Deliver this prediction's notes, if the create asked for that."""
        url = body.get("webhook")
        if not isinstance(url, str) or not url:
            return
        prediction.webhook = url
        if urllib.parse.urlsplit(url).hostname not in LOOPBACK:
            return
        events = cast("list[str] | None", body.get("webhook_events_filter")) or _DEFAULT_EVENTS
        with self._lock:
            self._watched.append(_Watched(prediction, url, frozenset(events)))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="aifs-media emulator webhooks", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._world.clock.stopped:
            with self._lock:
                watched = list(self._watched)
            for one in watched:
                self._look_at(one)
            time.sleep(LOOK_AGAIN)

    def _look_at(self, watched: _Watched) -> None:
        now = self._world.clock.now()
        moment = watched.prediction.at(now)
        happened = {
            "start": moment.started is not None,
            "output": moment.status == "succeeded",
            "logs": moment.started is not None,
            "completed": moment.status in TERMINAL,
        }
        for event, has_happened in happened.items():
            if has_happened and event in watched.events and event not in watched.told:
                watched.told.add(event)
                self._tell(watched, now, last=event == "completed")
        if moment.status in TERMINAL:
            with self._lock:
                self._watched.remove(watched)

    def _tell(self, watched: _Watched, now: float, *, last: bool) -> None:
        prompt = str(watched.prediction.input.get("prompt", ""))
        fault = self._world.faults.take("replicate.webhook", prompt)
        kind = "" if fault is None else fault.kind
        if fault is not None and kind == "delay":
            time.sleep(fault.seconds)
        if kind == "drop_before":
            return
        body = json.dumps(watched.prediction.to_json(now)).encode()
        headers = _signed(body)
        for wait in (0.0, *(RETRY_WAITS if last else ())):
            time.sleep(wait)
            if self._world.clock.stopped or delivered(watched.url, body, headers):
                break
        if kind == "duplicate":
            delivered(watched.url, body, headers)


def _signed(body: bytes) -> dict[str, str]:
    """Return the headers of one note, in the form of the Standard Webhooks specification."""
    identifier, sent = f"msg_{secrets.token_urlsafe(20)}", str(int(time.time()))
    digest = hmac.digest(_KEY, f"{identifier}.{sent}.".encode() + body, "sha256")
    return {
        "webhook-id": identifier,
        "webhook-timestamp": sent,
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
        "content-type": "application/json",
        "user-agent": "Webhooks/1.66.0 (emulated by aifs-media)",
    }


def delivered(url: str, body: bytes, headers: Mapping[str, str]) -> bool:
    """Send a note and return whether it was taken."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=_DELIVERY_TIMEOUT)
    try:
        connection.request(
            "POST", parts._replace(scheme="", netloc="").geturl() or "/", body=body, headers=dict(headers)
        )
        return connection.getresponse().status in _DELIVERED
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
