"""For tests: of your own code, and of providers, storages and ledgers that you write. See docs/testing.md.

Nothing is imported before it is used; the three contracts need pytest, the emulator its extra, the rest nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aifs_media.testing.clock import EmulatedClock, FakeClock
    from aifs_media.testing.fake_provider import FakeProvider
    from aifs_media.testing.ledger_contract import LedgerContract
    from aifs_media.testing.media import small_file, small_mp4, small_png
    from aifs_media.testing.provider_contract import ProviderContract
    from aifs_media.testing.service import Reply, ServedJob, Service
    from aifs_media.testing.spending import SpendingForbiddenError, forbid_spending
    from aifs_media.testing.storage_contract import StorageContract

_HOME = {
    "EmulatedClock": "clock",
    "FakeClock": "clock",
    "FakeProvider": "fake_provider",
    "LedgerContract": "ledger_contract",
    "ProviderContract": "provider_contract",
    "Reply": "service",
    "ServedJob": "service",
    "Service": "service",
    "SpendingForbiddenError": "spending",
    "StorageContract": "storage_contract",
    "forbid_spending": "spending",
    "small_file": "media",
    "small_mp4": "media",
    "small_png": "media",
}

__all__ = (
    "EmulatedClock",
    "FakeClock",
    "FakeProvider",
    "LedgerContract",
    "ProviderContract",
    "Reply",
    "ServedJob",
    "Service",
    "SpendingForbiddenError",
    "StorageContract",
    "forbid_spending",
    "small_file",
    "small_mp4",
    "small_png",
)

if not TYPE_CHECKING:
    # Hidden from type checkers, which would otherwise accept any misspelt name.
    def __getattr__(name: str) -> object:
        if name not in _HOME:
            raise AttributeError(f"module 'aifs_media.testing' has no attribute {name!r}")
        import importlib

        return getattr(importlib.import_module(f"aifs_media.testing.{_HOME[name]}"), name)

    def __dir__() -> list[str]:
        return list(__all__)
