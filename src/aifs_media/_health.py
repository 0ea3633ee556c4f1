"""Is everything set up: asked of each part, at no cost, with what to do about each finding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from aifs_media._download import STALL_TIMEOUT, InlineSource
from aifs_media._files import FileClient
from aifs_media._registry import BUILT_IN_PROVIDERS, PROVIDERS_GROUP, STORAGES_GROUP, entry_points
from aifs_media._urlguard import URLGuard
from aifs_media.errors import MediaError, MissingCredentialError
from aifs_media.protocols import Checkable, role
from aifs_media.records import Check, HealthReport
from aifs_media.settings import OLD_NAMES
from aifs_media.toolkit import HttpProvider

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from aifs_media._parts import Parts
    from aifs_media.protocols import Storage

CHECK_LIMIT = 20.0
PROBE = b"aifs-media public address check\n"
PROBE_KEY = "_aifs-media-check/public.txt"


async def health(parts: Parts) -> HealthReport:
    """Ask every configured part; the parts are asked at the same time."""
    found: dict[str, Sequence[Check]] = {}

    async def ask(name: str, question: Callable[[], Awaitable[Sequence[Check]]]) -> None:
        found[name] = await _answered(name, question)

    async with anyio.create_task_group() as group:
        for name in _providers_in_use(parts):
            group.start_soon(ask, name, lambda name=name: _provider(parts, name))
        group.start_soon(ask, "storage", lambda: _storage(parts))
    ordered = [check for name in sorted(found) for check in found[name]]
    return HealthReport(checks=(*_settings(parts), *_plugins(), *ordered))


def _providers_in_use(parts: Parts) -> list[str]:
    """Return the default providers, and every other one that is set up."""
    wanted = {parts.settings.text(f"{kind}_PROVIDER") for kind in ("IMAGE", "VIDEO", "TEXT")}
    for name in BUILT_IN_PROVIDERS:
        provider = parts.provider(name)
        if isinstance(provider, HttpProvider) and not provider.missing_setting:
            wanted.add(name)
    return sorted(wanted)


async def _answered(name: str, question: Callable[[], Awaitable[Sequence[Check]]]) -> Sequence[Check]:
    try:
        with anyio.fail_after(CHECK_LIMIT):
            return await question()
    except TimeoutError:
        return [Check(name=name, ok=False, message=f"No answer within {CHECK_LIMIT:g} s.", hint="Check the network.")]
    except MediaError as error:
        return [Check(name=name, ok=False, message=error.message, hint=error.hint)]


async def _provider(parts: Parts, name: str) -> Sequence[Check]:
    provider = parts.provider(name)
    checkable = role(provider, Checkable)
    if checkable is None:
        return [Check(name=name, ok=True, message="Loaded; it has no check of its own.")]
    try:
        return await checkable.check()
    except MissingCredentialError as error:
        return [Check(name=name, ok=False, message=error.message, hint=error.hint)]


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


def _settings(parts: Parts) -> list[Check]:
    given = parts.settings.environ()
    checks = [
        Check(name=f"setting {name}", ok=False, message=f"{name} is not read.", hint=f"Use {new}.")
        for name, new in OLD_NAMES.items()
        if name in given
    ]
    checks.extend(
        Check(name="settings", ok=False, message=sentence, hint="Remove it.") for sentence in parts.settings.warnings()
    )
    return checks or [Check(name="settings", ok=True, message="No outdated names.")]


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
