"""Is everything set up: asked of each part, at no cost, with what to do about each finding."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import anyio

from aifs_media._download import STALL_TIMEOUT, InlineSource
from aifs_media._draft import choose_model
from aifs_media._files import FileClient
from aifs_media._registry import BUILT_IN_PROVIDERS, PROVIDERS_GROUP, STORAGES_GROUP, entry_points
from aifs_media._select import default_capability, describe
from aifs_media._setting_checks import setting_checks
from aifs_media._urlguard import URLGuard
from aifs_media.errors import MediaError, MissingCredentialError
from aifs_media.protocols import Checkable, TextWriter, role
from aifs_media.records import Check, HealthReport
from aifs_media.toolkit import HttpProvider

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from aifs_media._parts import Parts
    from aifs_media.protocols import Storage
    from aifs_media.records import Kind

CHECK_LIMIT = 20.0
PROBE = b"aifs-media public address check\n"
PROBE_KEY = "_aifs-media-check/public.txt"

KINDS: tuple[Kind | None, ...] = ("image", "video", None)
"""What can be asked for; None is a text."""


async def health(parts: Parts) -> HealthReport:
    """Ask every configured part; the parts are asked at the same time."""
    found: dict[str, Sequence[Check]] = {}

    async def ask(name: str, question: Callable[[], Awaitable[Sequence[Check]]]) -> None:
        found[name] = await _answered(name, question)

    async with anyio.create_task_group() as group:
        for name in _providers_to_ask(parts):
            group.start_soon(ask, name, partial(_provider, parts, name))
        for kind in KINDS:
            if setting := _chosen_by(parts, kind):
                group.start_soon(ask, setting, partial(_choice, parts, kind))
        group.start_soon(ask, "storage", lambda: _storage(parts))
        group.start_soon(ask, "ledger", lambda: _ledger(parts))
    ordered = [check for name in sorted(found) for check in found[name]]
    return HealthReport(checks=(*setting_checks(parts), *_plugins(), *ordered))


async def _answered(name: str, question: Callable[[], Awaitable[Sequence[Check]]]) -> Sequence[Check]:
    try:
        with anyio.fail_after(CHECK_LIMIT):
            return await question()
    except TimeoutError:
        return [Check(name=name, ok=False, message=f"No answer within {CHECK_LIMIT:g} s.", hint="Check the network.")]
    except MediaError as error:
        return [Check(name=name, ok=False, message=error.message, hint=error.hint)]


# -- providers and what is chosen of them ------------------------------------------------------------------------------


def _chosen_by(parts: Parts, kind: Kind | None) -> str:
    """Return the setting that says who makes a kind; empty where it is left to the default."""
    names = (f"{_name(kind)}_MODEL", f"{_name(kind)}_PROVIDER")
    return next((name for name in names if parts.settings.given(name)), "")


def _name(kind: Kind | None) -> str:
    return (kind or "text").upper()


def _provider_of(parts: Parts, kind: Kind | None) -> str:
    return choose_model(parts, kind or "text", None)[0]


def _providers_to_ask(parts: Parts) -> list[str]:
    """Return the providers of each kind, and every other one that is set up, or was meant to be and cannot be made."""
    names = {_provider_of(parts, kind) for kind in KINDS}
    names.update(name for name in BUILT_IN_PROVIDERS if not _missing_setting(parts, name))
    # One that is chosen and does not exist is told where its setting is looked at.
    return sorted(names.intersection(parts.provider_names()))


def _missing_setting(parts: Parts, name: str) -> str:
    try:
        provider = parts.provider(name)
    except MediaError:
        return ""
    return provider.missing_setting if isinstance(provider, HttpProvider) else ""


async def _provider(parts: Parts, name: str) -> Sequence[Check]:
    provider = parts.provider(name)
    # Hosts that its outputs come from are settings as well, and the first download would be the one to refuse them.
    parts.files(provider)
    missing = _missing_setting(parts, name)
    if missing and _is_default_only(parts, name):
        used_for = [_name(kind) for kind in KINDS if _provider_of(parts, kind) == name]
        others = " and ".join(f"{kind}_PROVIDER" for kind in used_for)
        message = f"Not set up: without {missing} it makes no {' and no '.join(kind.lower() for kind in used_for)}."
        return [Check(name=name, ok=True, message=message, hint=f"Set {missing}, or another provider with {others}.")]
    checkable = role(provider, Checkable)
    if checkable is None and missing:
        return [Check(name=name, ok=False, message=f"{missing} is not set.", hint=f"Set {missing}.")]
    if checkable is None:
        return [Check(name=name, ok=True, message="Loaded; it has no check of its own.")]
    return await checkable.check()


def _is_default_only(parts: Parts, name: str) -> bool:
    """Say whether nobody has asked for a provider, and there is another one to work with."""
    chosen = {_provider_of(parts, kind) for kind in KINDS if _chosen_by(parts, kind)}
    return name not in chosen and any(not _missing_setting(parts, other) for other in parts.provider_names())


async def _choice(parts: Parts, kind: Kind | None) -> Sequence[Check]:
    """Find out whether what the settings choose for a kind exists, and makes it."""
    setting = _chosen_by(parts, kind)
    name, model = choose_model(parts, kind or "text", None)
    provider = parts.provider(name)
    if kind is None:
        if role(provider, TextWriter) is None:
            return [Check(name=setting, ok=False, message=f"{name!r} writes no text.", hint="Set TEXT_PROVIDER=poe.")]
    elif model:
        try:
            await describe(provider, kind, model, check=True)
        except MissingCredentialError:
            # The provider's own check says so.
            return []
    else:
        default_capability(provider, kind)
    return [Check(name=setting, ok=True, message=f"{_name(kind).title()}s by {name}{f':{model}' if model else ''}.")]


# -- storage and ledger ------------------------------------------------------------------------------------------------


async def _storage(parts: Parts) -> Sequence[Check]:
    storage = parts.storage
    checkable = role(storage, Checkable)
    checks = list(await checkable.check()) if checkable is not None else []
    if all(check.ok for check in checks):
        checks.append(await _public_address(parts, storage))
    return checks


async def _public_address(parts: Parts, storage: Storage) -> Check:
    """Write a small object, fetch it at the address that assets would get, and remove it."""
    name = "public address"
    await storage.put(PROBE_KEY, InlineSource(PROBE), media_type="text/plain", labels={})
    try:
        address = await storage.url(PROBE_KEY)
        if not address.url.startswith(("https://", "http://")):
            return Check(name=name, ok=True, message=f"Assets stay in {storage.name!r} and have no web address.")
        trusted = frozenset(parts.settings.items("MEDIA_TRUSTED_HOSTS"))
        files = FileClient(URLGuard(trusted=trusted))
        try:
            target = files.guard.check(address.url)
            answer = await files.open(target, headers={}, stall_timeout=STALL_TIMEOUT)
            body = await answer.read() if answer.status == 200 else b""
            await answer.aclose()
        finally:
            await files.aclose()
    finally:
        await storage.delete(PROBE_KEY)
    if body == PROBE:
        lasting = "lasting" if address.expires_at is None else "presigned, so assets' URLs end by themselves"
        return Check(name=name, ok=True, message=f"Stored objects can be fetched ({lasting}).")
    return Check(
        name=name,
        ok=False,
        message=f"A stored object cannot be fetched at its public address (HTTP {answer.status}).",
        hint="Make the bucket public under that address, or correct the public URL (R2_PUBLIC_URL, S3_PUBLIC_URL).",
    )


async def _ledger(parts: Parts) -> Sequence[Check]:
    await parts.ledger.search(limit=1)
    kept = "outlives this process" if parts.ledger.durable else "is in memory and ends with its process"
    return [Check(name="ledger", ok=True, message=f"The record of jobs can be read; it {kept}.")]


def _plugins() -> list[Check]:
    """Load every installed plugin's entry point and say which cannot be."""
    checks: list[Check] = []
    for group in (PROVIDERS_GROUP, STORAGES_GROUP):
        for point in entry_points(group).values():
            where = f"{point.dist.name} {point.dist.version}" if point.dist else "unknown distribution"
            try:
                point.load()
            except Exception as error:
                # Whatever a stranger's module raises is the finding.
                message = f"{point.value} of {where} cannot be loaded: {type(error).__name__}: {error}"
                checks.append(
                    Check(name=f"plugin {point.name}", ok=False, message=message, hint="Upgrade or uninstall it.")
                )
            else:
                checks.append(Check(name=f"plugin {point.name}", ok=True, message=f"{point.value} of {where}"))
    return checks
