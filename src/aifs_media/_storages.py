"""The built-in storages from settings. Half a set of settings is an error that names what is missing, never a silent default."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aifs_media._warn import warn_caller
from aifs_media.errors import ConfigurationError
from aifs_media.settings import OLD_NAMES

if TYPE_CHECKING:
    from aifs_media.protocols import Storage
    from aifs_media.settings import Settings

REQUIRED = {
    "r2": ("R2_ACCESS_KEY_ID", "R2_SECRET_ACCESS_KEY", "R2_BUCKET"),
    "s3": ("S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY", "S3_BUCKET"),
}
PREFIXES = {"r2": ("R2_", "CLOUDFLARE_R2_"), "s3": ("S3_",)}


def storage_of_settings(name: str, settings: Settings) -> Storage:
    """Build a built-in storage: the named one, else R2 or S3 where any of its settings is present, else a local folder.

    Raises:
        ConfigurationError: see `make_storage`.
    """
    present = [kind for kind in ("r2", "s3") if _any_given(kind, settings)]
    if not name and len(present) > 1:
        raise ConfigurationError(
            "Settings of both R2 and S3 are given.", hint="Say which with MEDIA_STORAGE=r2 or MEDIA_STORAGE=s3."
        )
    match name or (present[0] if present else ""):
        case "r2":
            return _r2(settings)
        case "s3":
            return _s3(settings)
        case "memory":
            from aifs_media.storage.memory import MemoryStorage

            return MemoryStorage()
        case chosen:
            from aifs_media.storage.local import LocalStorage

            folder = settings.text("MEDIA_LOCAL_DIR")
            if not chosen and not settings.given("MEDIA_LOCAL_DIR"):
                warn_caller(
                    f"No storage is configured: assets go to the local folder {folder!r}. "
                    "Set R2_* or S3_* for a bucket, or MEDIA_STORAGE=local to keep the folder."
                )
            return LocalStorage(folder, public_url=settings.text("MEDIA_PUBLIC_URL") or None)


def _any_given(kind: str, settings: Settings) -> bool:
    return any(name.startswith(PREFIXES[kind]) for name in settings.environ())


def _complete(kind: str, settings: Settings, *, also: str = "") -> None:
    missing = [name for name in REQUIRED[kind] if not settings.given(name)]
    if also:
        missing.append(also)
    if not missing:
        return
    given = settings.environ()
    meant = [
        f"{old} is not read: {new} was probably meant"
        for old, new in OLD_NAMES.items()
        if old in given and old.startswith(PREFIXES[kind])
    ]
    raise ConfigurationError(
        f"The settings of {kind.upper()} are incomplete: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing.",
        hint=" ".join(f"{sentence}." for sentence in [*meant, "MEDIA_STORAGE=local keeps assets in a folder"]),
    )


def _r2(settings: Settings) -> Storage:
    from aifs_media.storage.s3 import S3Storage

    addressed = settings.given("R2_ACCOUNT_ID") or settings.given("R2_ENDPOINT")
    _complete("r2", settings, also="" if addressed else "R2_ACCOUNT_ID (or R2_ENDPOINT)")
    return S3Storage.r2(
        account_id=settings.text("R2_ACCOUNT_ID"),
        bucket=settings.text("R2_BUCKET"),
        access_key_id=settings.text("R2_ACCESS_KEY_ID"),
        secret_access_key=settings.text("R2_SECRET_ACCESS_KEY"),
        session_token=settings.text("R2_SESSION_TOKEN") or None,
        jurisdiction=settings.text("R2_JURISDICTION") or None,
        endpoint=settings.text("R2_ENDPOINT") or None,
        public_url=settings.text("R2_PUBLIC_URL") or None,
        ca_bundle=settings.text("S3_CA_BUNDLE") or None,
    )


def _s3(settings: Settings) -> Storage:
    from aifs_media.storage.s3 import S3Storage

    _complete("s3", settings)
    return S3Storage(
        bucket=settings.text("S3_BUCKET"),
        endpoint=settings.text("S3_ENDPOINT") or None,
        region=settings.text("S3_REGION"),
        access_key_id=settings.text("S3_ACCESS_KEY_ID"),
        secret_access_key=settings.text("S3_SECRET_ACCESS_KEY"),
        session_token=settings.text("S3_SESSION_TOKEN") or None,
        public_url=settings.text("S3_PUBLIC_URL") or None,
        ca_bundle=settings.text("S3_CA_BUNDLE") or None,
    )
