"""The emulator as a program: serve until a signal comes."""

from __future__ import annotations

import json
import signal
import threading
from typing import TYPE_CHECKING

from aifs_media.testing.emulator.emulator import Emulator

if TYPE_CHECKING:
    from types import FrameType


def serve(port: int = 0, *, delivery_port: int = 0, latency: float = 0.0) -> None:
    """Run an emulator until SIGINT or SIGTERM.

    One line of JSON on standard output says that it is ready: its URLs, and the settings that point a client at it.

    Args:
        port: Port of the API; 0 takes a free one.
        delivery_port: Port of the delivery host; 0 takes a free one.
        latency: Seconds a generation runs.

    Raises:
        OSError: If a port is taken.
    """
    ended = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    previous = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with Emulator(port=port, delivery_port=delivery_port, latency=latency) as emulator:
            ready = {
                "base_url": emulator.base_url,
                "replicate_url": emulator.replicate_url,
                "poe_url": emulator.poe_url,
                "fal_url": emulator.fal_url,
                "runway_url": emulator.runway_url,
                "openai_url": emulator.openai_url,
                "compatible_url": emulator.compatible_url,
                "delivery_url": emulator.delivery_url,
                "settings": emulator.settings(),
            }
            print(json.dumps(ready), flush=True)  # noqa: T201 - the line is the program's output
            ended.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
