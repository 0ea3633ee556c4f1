"""What is wrong with the settings themselves: names that are not read, and values with which calls would fail. Asks nobody."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from aifs_media._told import webhook_url
from aifs_media._urlguard import URLGuard
from aifs_media._webhooks import signing_key
from aifs_media.errors import MediaError
from aifs_media.records import Check
from aifs_media.settings import OLD_NAMES, SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aifs_media._parts import Parts

READ = tuple(name for row in SETTINGS for name in (row.name, *row.aliases))
PREFIXES = frozenset(name.partition("_")[0] for name in READ)
CLOSE = 0.85
"""How alike two names are of which one was probably meant as the other: a letter more or less, or a word left out."""


def setting_checks(parts: Parts) -> list[Check]:
    """Return a finding for each name and value that is wrong, or one that says that there is none."""
    given = parts.settings.environ()
    checks = [*_outdated(parts), *_misspelt(given), *_unusable(parts)]
    return checks or [Check(name="settings", ok=True, message="Every name is known, and every value can be used.")]


def _outdated(parts: Parts) -> Iterator[Check]:
    given = parts.settings.environ()
    for name, new in OLD_NAMES.items():
        if name in given:
            yield Check(name=f"setting {name}", ok=False, message=f"{name} is not read.", hint=f"Use {new}.")
    for sentence in parts.settings.warnings():
        yield Check(name="settings", ok=False, message=sentence, hint="Remove it.")


def _misspelt(given: dict[str, str]) -> Iterator[Check]:
    """Yield a finding for each name that is nearly a setting's. Whatever else an environment holds is not ours to judge."""
    for name in sorted(given):
        if name in READ or name in OLD_NAMES or name.upper().partition("_")[0] not in PREFIXES:
            continue
        close = difflib.get_close_matches(name.upper(), READ, n=1, cutoff=CLOSE)
        # Where the right name is given as well, the other one is somebody else's.
        if close and close[0] not in given:
            yield Check(
                name=f"setting {name}", ok=False, message=f"{name} is not read.", hint=f"Did you mean {close[0]}?"
            )


def _unusable(parts: Parts) -> Iterator[Check]:
    """Yield a finding for each value that its user would refuse, in the words of that user."""
    settings = parts.settings
    trusted = settings.items("MEDIA_TRUSTED_HOSTS")
    readers: dict[str, Callable[[], object]] = {
        "MEDIA_IMAGE_TIMEOUT": lambda: settings.number("MEDIA_IMAGE_TIMEOUT"),
        "MEDIA_VIDEO_TIMEOUT": lambda: settings.number("MEDIA_VIDEO_TIMEOUT"),
        "MEDIA_STRICT_HOSTS": lambda: settings.flag("MEDIA_STRICT_HOSTS"),
        "MEDIA_TRUSTED_HOSTS": lambda: URLGuard(trusted=frozenset(trusted)),
        "MEDIA_WEBHOOK_URL": lambda: webhook_url(
            settings.text("MEDIA_WEBHOOK_URL"), provider="any", namespace="", job_id="any", trusted_hosts=trusted
        ),
        "REPLICATE_WEBHOOK_SECRET": lambda: [*map(signing_key, settings.items("REPLICATE_WEBHOOK_SECRET"))],
        "MEDIA_NOTIFY_SECRET": lambda: signing_key(settings.text("MEDIA_NOTIFY_SECRET")),
        "MEDIA_NOTIFY_URL": lambda: parts.notifier.address(None),
    }
    for name, read in readers.items():
        if settings.given(name):
            try:
                read()
            except MediaError as error:
                yield Check(name=f"setting {name}", ok=False, message=error.message, hint=error.hint)
