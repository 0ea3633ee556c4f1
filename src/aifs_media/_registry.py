"""Providers and storages by name: built in, or found through entry points. Everything is loaded by name, on first use.

An object that was passed in beats what is registered in code, which beats the built-in table, which beats entry points. A
broken plugin breaks only itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from importlib.metadata import EntryPoint

    from aifs_media.protocols import Ledger, MediaProvider, Storage
    from aifs_media.settings import Settings

    ProviderFactory = Callable[[Mapping[str, str]], MediaProvider]
    StorageFactory = Callable[[Mapping[str, str]], Storage]

PROVIDERS_GROUP = "aifs_media.providers"
STORAGES_GROUP = "aifs_media.storages"

BUILT_IN_PROVIDERS: dict[str, str] = {
    "replicate": "aifs_media.providers.replicate:ReplicateProvider",
    "poe": "aifs_media.providers.poe:PoeProvider",
    "openai": "aifs_media.providers.openai:OpenAIProvider",
    "openai-compatible": "aifs_media.providers.openai_compatible:OpenAICompatibleProvider",
    "runway": "aifs_media.providers.runway:RunwayProvider",
    "stability": "aifs_media.providers.stability:StabilityProvider",
    "fal": "aifs_media.providers.fal:FalProvider",
}
BUILT_IN_STORAGES = ("local", "memory", "r2", "s3")


def entry_points(group: str) -> dict[str, EntryPoint]:
    """Return the installed entry points of a group by name, without loading any."""
    from importlib.metadata import entry_points as installed

    return {point.name: point for point in installed(group=group)}


def provider_names() -> list[str]:
    """Return the names of all providers that could be used, without loading any."""
    return sorted({*BUILT_IN_PROVIDERS, *entry_points(PROVIDERS_GROUP)})


def make_provider(name: str, settings: Settings) -> MediaProvider:
    """Build a provider by name.

    Raises:
        UnknownProviderError: no provider of that name is built in or installed.
        PluginError: it is installed and cannot be loaded.
    """
    from aifs_media.errors import UnknownProviderError

    if name in BUILT_IN_PROVIDERS:
        import importlib

        module, _, attribute = BUILT_IN_PROVIDERS[name].partition(":")
        factory = getattr(importlib.import_module(module), attribute)
        return cast("MediaProvider", factory.from_settings(settings.environ()))
    points = entry_points(PROVIDERS_GROUP)
    if name not in points:
        raise UnknownProviderError(name, known={*BUILT_IN_PROVIDERS, *points})
    from aifs_media.protocols import MediaProvider

    part = _load(points[name], settings)
    if not isinstance(part, MediaProvider):
        raise _broken(points[name], "it is not a MediaProvider (name, capabilities, submit, aclose)")
    return part


def make_ledger(settings: Settings) -> Ledger:
    """Build the ledger that MEDIA_LEDGER names. Raises ConfigurationError for another form, or a missing extra."""
    from aifs_media.errors import ConfigurationError

    name = settings.text("MEDIA_LEDGER")
    if name == "memory":
        from aifs_media.ledger.memory import MemoryLedger

        return MemoryLedger()
    if name.startswith("sqlite:///") and len(name) > len("sqlite:///"):
        from aifs_media.ledger.sqlite import SqliteLedger

        return SqliteLedger(name.removeprefix("sqlite:///"))
    if name.startswith(("postgresql://", "postgres://")):
        from aifs_media.ledger.postgres import PostgresLedger

        return PostgresLedger(name)
    raise ConfigurationError(
        # Only a plain word is repeated: what looks like an address may hold a password.
        f"MEDIA_LEDGER={name!r} is no ledger." if name.isalnum() else "MEDIA_LEDGER names no ledger.",
        hint="Use memory, sqlite:///path/to/media.db or postgresql://user:password@host/database.",
    )


def make_storage(settings: Settings) -> Storage:
    """Build the storage that the settings name, or the one whose set of settings is complete.

    Raises:
        ConfigurationError: a set is incomplete, contradicts itself, or the named storage is not set up.
        UnknownProviderError: no storage of that name is built in or installed.
    """
    from aifs_media._storages import storage_of_settings

    name = settings.text("MEDIA_STORAGE")
    if name and name not in BUILT_IN_STORAGES:
        return make_plugin_storage(name, settings)
    return storage_of_settings(name, settings)


def make_plugin_storage(name: str, settings: Settings) -> Storage:
    """Build a storage of a plugin by name. Raises UnknownProviderError and PluginError like `make_provider`."""
    from aifs_media.errors import UnknownProviderError
    from aifs_media.protocols import Storage

    points = entry_points(STORAGES_GROUP)
    if name not in points:
        raise UnknownProviderError(name, known={*BUILT_IN_STORAGES, *points}, role="storage")
    part = _load(points[name], settings)
    if not isinstance(part, Storage):
        raise _broken(points[name], "it is not a Storage (name, put, url, delete, discard_partial, aclose)")
    return part


def _load(point: EntryPoint, settings: Settings) -> object:
    """Load an entry point and build what it names: `thing.from_settings(environ)`, or `thing(environ)`."""
    try:
        factory = point.load()
        build = getattr(factory, "from_settings", factory)
        return cast("object", build(settings.environ()))
    except Exception as error:
        # Whatever a stranger's module raises must not take the product down.
        from aifs_media._secrets import Secret, redact
        from aifs_media.errors import MediaError

        if isinstance(error, MediaError):
            raise
        said = f"{type(error).__name__}: {error}"
        told = redact(said, *(Secret(value) for value in settings.secrets()))
        # One that repeats the settings it was given is no cause to be shown.
        raise _broken(point, told) from (error if told == said else None)


def _broken(point: EntryPoint, reason: str) -> Exception:
    from aifs_media.errors import PluginError

    distribution = f"{point.dist.name} {point.dist.version}" if point.dist else "unknown"
    return PluginError(name=point.name, distribution=distribution, entry_point=point.value, reason=reason)
