"""Object keys: where an asset lies in the storage, how its public URL is spelt, and labels as object metadata.

Values that become part of a key are accepted or rejected and never cleaned: cleaning maps two names to one key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from aifs_media.errors import ConfigurationError, RequestRejectedError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from aifs_media.records import Kind

DEFAULT_TEMPLATE = "{year}/{month}/{job_id}-{index}.{extension}"
# R2 and S3 both take 1,024 bytes; the file systems below a local folder take 255 for a name.
MAX_KEY_BYTES = 1024
MAX_SEGMENT_LENGTH = 255
# S3 takes 2,048 bytes of names and values together, R2 8,192.
MAX_LABEL_BYTES = 2048

SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
TAG_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
PLACEHOLDER = re.compile(r"\{([A-Za-z][A-Za-z0-9_-]{0,63})\}", re.ASCII)
EXTENSION = re.compile(r"[a-z0-9]{1,8}", re.ASCII)
LABEL_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)

EXTENSION_ENDING = ".{extension}"
# Values of a fixed form. Everything else is a name that somebody chose: `job_id`, `provider`, `namespace`, and the tags.
FIXED_PLACEHOLDERS = frozenset({"year", "month", "day", "index", "kind"})
CHOSEN_PLACEHOLDERS = frozenset({"job_id", "provider", "namespace"})


@dataclass(frozen=True)
class KeyTemplate:
    """The form of all object keys of one generator.

    The template is a path of segments with placeholders: `{year}`, `{month}`, `{day}` of the job's creation (UTC), `{job_id}`, `{index}`
    of the output, `{kind}`, `{provider}`, `{namespace}`, and any other name in braces for the tag of that name. It holds `{job_id}` and
    `{index}` once and ends with `.{extension}`. So that two jobs can never share a key, a segment holds at most one name that somebody
    chose (a tag, `{job_id}`, `{provider}`, `{namespace}`), with `-`, `_` or `.` between it and other placeholders; and a namespace that
    the template does not place becomes the first segment behind the prefix.

    Args:
        template: for example `{tenant}/{year}/{month}/{job_id}-{index}.{extension}`.
        prefix: segments in front of every key, or empty.

    Raises:
        ConfigurationError: template or prefix break these rules.
    """

    template: str = DEFAULT_TEMPLATE
    prefix: str = ""
    tag_names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Check the rules and note the names of the tags."""
        object.__setattr__(self, "prefix", self.prefix.strip("/"))
        if self.prefix and not all(_is_segment(segment) for segment in self.prefix.split("/")):
            raise ConfigurationError(
                f"The key prefix {self.prefix!r} is not a path of plain segments.",
                hint="Use letters, digits, '.', '_' and '-', with '/' between segments.",
            )
        if not self.template.endswith(EXTENSION_ENDING):
            raise _bad_template(
                self.template, "it does not end with '.{extension}', by which caches know the file's type"
            )
        stem = self.template.removesuffix(EXTENSION_ENDING)
        for segment in stem.split("/"):
            _check_segment(self.template, segment)
        names = PLACEHOLDER.findall(stem)
        for name in ("job_id", "index"):
            if names.count(name) != 1:
                raise _bad_template(self.template, f"it does not hold {{{name}}} exactly once, which keeps keys apart")
        tags = dict.fromkeys(name for name in names if name not in FIXED_PLACEHOLDERS | CHOSEN_PLACEHOLDERS)
        object.__setattr__(self, "tag_names", tuple(tags))

    def render_stem(
        self,
        *,
        created_at: datetime,
        job_id: str,
        index: int,
        kind: Kind,
        provider: str,
        namespace: str,
        tags: Mapping[str, str],
    ) -> str:
        """Return the key without its extension, which is known only when the first bytes have arrived.

        Args:
            created_at: when the job was created, with a time zone.
            job_id: the job.
            index: the output's place among the job's outputs, from 0.
            kind: image or video.
            provider: the provider's name.
            namespace: whose job it is; may be empty.
            tags: the request's tags; only those that the template names are used.

        Raises:
            RequestRejectedError: a tag that the template names is missing, or a value must not be part of a key.
        """
        created = created_at.astimezone(UTC)
        values = {
            "year": f"{created.year:04}",
            "month": f"{created.month:02}",
            "day": f"{created.day:02}",
            "index": str(index),
            "kind": kind,
            "job_id": job_id,
        }
        _check_value("job id", job_id, VALUE)
        for name, value in (("provider", provider), ("namespace", namespace)):
            if f"{{{name}}}" in self.template or (name == "namespace" and value):
                _check_value(name, value, VALUE)
                values[name] = value
        for name in self.tag_names:
            if name not in tags:
                raise RequestRejectedError(
                    f"The tag {name!r} is missing, which the key template {self.template!r} needs.",
                    hint=f"Pass tags={{{name!r}: ...}}, or change MEDIA_KEY_TEMPLATE.",
                    job_id=job_id,
                )
            _check_value(f"tag {name!r}", tags[name], TAG_VALUE)
            values[name] = tags[name]
        path = PLACEHOLDER.sub(lambda match: values[match[1]], self.template.removesuffix(EXTENSION_ENDING))
        in_front = [self.prefix] if self.prefix else []
        if namespace and "{namespace}" not in self.template:
            in_front.append(namespace)
        stem = "/".join([*in_front, path])
        _check_stem(stem, job_id)
        return stem


def with_extension(stem: str, extension: str) -> str:
    """Return the whole key.

    Args:
        stem: what `render_stem` returned.
        extension: 1 to 8 lower-case letters or digits, without a dot.

    Raises:
        ValueError: the extension is of another form.
    """
    if not EXTENSION.fullmatch(extension):
        raise ValueError(f"The extension {extension!r} is not 1 to 8 lower-case letters or digits.")
    return f"{stem}.{extension}"


def public_url(base: str, key: str) -> str:
    """Return the URL of an object below a public base URL, each segment of the key quoted."""
    return "/".join([base.rstrip("/"), *(quote(segment, safe="") for segment in key.split("/"))])


def encode_labels(tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags as object metadata: free text percent-encoded as UTF-8, because headers carry ASCII and drop outer spaces.

    Args:
        tags: names of lower-case letters, digits, `_` and `-`, since header names have no case; values are any text.

    Raises:
        RequestRejectedError: a name of another form, text that is no Unicode, or more than 2,048 bytes in all.
    """
    encoded: dict[str, str] = {}
    for name, value in tags.items():
        if not LABEL_NAME.fullmatch(name):
            raise RequestRejectedError(
                f"The tag name {name!r} cannot be kept with an object.",
                hint="Use up to 64 lower-case letters, digits, '_' and '-', starting with a letter or digit.",
            )
        try:
            encoded[name] = quote(value, safe="")
        except UnicodeEncodeError:
            raise RequestRejectedError(
                f"The value {value!r} of the tag {name!r} is not valid Unicode text.",
                hint="Remove the lone surrogates.",
            ) from None
    total = sum(len(name) + len(value) for name, value in encoded.items())
    if total > MAX_LABEL_BYTES:
        raise RequestRejectedError(
            f"The tags take {total} bytes in the object's metadata; {MAX_LABEL_BYTES} fit.",
            hint="Shorten them. A character outside ASCII takes 6 to 12 bytes.",
        )
    return encoded


def decode_labels(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that `encode_labels` was given."""
    return {name: unquote(value) for name, value in metadata.items()}


def _is_segment(segment: str) -> bool:
    return bool(SEGMENT.fullmatch(segment)) and ".." not in segment and len(segment) <= MAX_SEGMENT_LENGTH


def _check_segment(template: str, segment: str) -> None:
    """Refuse a segment that could leave the allowed form, or make two different jobs meet in one key."""
    if not _is_segment(PLACEHOLDER.sub("x", segment)):
        raise _bad_template(
            template, f"the segment {segment!r} is not made of letters, digits, '.', '_', '-' and {{placeholders}}"
        )
    # Literals at even places, placeholders at odd ones.
    parts = PLACEHOLDER.split(segment)
    if "extension" in parts[1::2]:
        raise _bad_template(template, "{extension} belongs to its end only")
    chosen = [name for name in parts[1::2] if name not in FIXED_PLACEHOLDERS]
    if len(chosen) > 1:
        names = " and ".join(f"{{{name}}}" for name in chosen)
        raise _bad_template(
            template, f"{names} share a segment, so that two jobs could share a key; put '/' between them"
        )
    if not all(set(literal) & set("-_.") for literal in parts[2:-1:2]):
        raise _bad_template(template, f"placeholders touch in the segment {segment!r}; put '-' between them")


def _bad_template(template: str, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"The key template {template!r} cannot be used: {reason}.",
        hint=f"Change MEDIA_KEY_TEMPLATE; the default is {DEFAULT_TEMPLATE!r}.",
    )


def _check_value(name: str, value: str, allowed: re.Pattern[str]) -> None:
    if not allowed.fullmatch(value) or ".." in value:
        dot = "'.', " if allowed is VALUE else ""
        limit = 128 if allowed is VALUE else 64
        raise RequestRejectedError(
            f"The {name} {value!r} cannot be part of an object key.",
            hint=f"Use 1 to {limit} letters, digits, {dot}'_' and '-', starting with a letter or digit.",
        )


def _check_stem(stem: str, job_id: str) -> None:
    # The longest extension and its dot come on top.
    longest = 9
    if ".." in f"{stem}.":
        raise RequestRejectedError(
            f"The object key {stem!r} would hold two dots in a row.",
            hint="Choose a job id that does not end with a dot.",
            job_id=job_id,
        )
    if len(stem) + longest > MAX_KEY_BYTES or any(
        len(segment) + longest > MAX_SEGMENT_LENGTH for segment in stem.split("/")
    ):
        raise RequestRejectedError(
            f"The object key {stem!r} is too long: {MAX_KEY_BYTES} bytes fit, and {MAX_SEGMENT_LENGTH} between two slashes.",
            hint="Shorten the job id, the tags or the key template.",
            job_id=job_id,
        )
