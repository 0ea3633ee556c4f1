"""The providers as one real HTTP server on loopback, for tests and for a first try without an account.

It makes pictures and films of the prompts, keeps books of what it would have billed, lives on a clock that tests move,
and fails on command. It is written from the vendors' documents and from recorded answers, and shares neither code nor
model data with the providers of this library. Needs the extra `emulator`: `pip install 'aifs-media[emulator]'`.
"""

from __future__ import annotations

try:
    from aifs_media.testing.emulator.books import Books, PredictionRecord, RequestRecord
    from aifs_media.testing.emulator.clock import Clock
    from aifs_media.testing.emulator.emulator import Emulator
    from aifs_media.testing.emulator.faults import Fault, Kind, Route
    from aifs_media.testing.emulator.serving import serve
    from aifs_media.testing.emulator.world import Switches
except ModuleNotFoundError as error:
    message = f"The emulator needs {error.name!r}, which is not installed. Run: pip install 'aifs-media[emulator]'"
    raise ModuleNotFoundError(message, name=error.name) from error

__all__ = (
    "Books",
    "Clock",
    "Emulator",
    "Fault",
    "Kind",
    "PredictionRecord",
    "RequestRecord",
    "Route",
    "Switches",
    "serve",
)
