"""Every setting, in one table. The table in docs/configuration.md is made from it.

Top-level imports are kept to the bone: this module is loaded by `MediaGenerator.from_env()`, which should cost nothing.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Self


class Setting(NamedTuple):
    """One row: the environment name, what it means, its default, other names that are read, whether it is a secret."""

    name: str
    meaning: str
    default: str = ""
    aliases: tuple[str, ...] = ()
    secret: bool = False


SETTINGS: tuple[Setting, ...] = (
    Setting("REPLICATE_API_KEY", "Replicate API token", aliases=("REPLICATE_API_TOKEN",), secret=True),
    Setting("REPLICATE_BASE_URL", "Replicate API address", "https://api.replicate.com/v1"),
    Setting(
        "REPLICATE_DELIVERY_HOSTS",
        "hosts that Replicate's outputs come from, with commas between",
        "replicate.delivery",
    ),
    Setting("POE_API_KEY", "Poe API key", secret=True),
    Setting("POE_API_URL", "Poe API address", "https://api.poe.com/v1", aliases=("POE_BASE_URL",)),
    Setting("POE_DELIVERY_HOSTS", "hosts that Poe's outputs come from, with commas between", "*.poecdn.net"),
    Setting("RUNWAYML_API_SECRET", "Runway API key", secret=True),
    Setting("RUNWAYML_BASE_URL", "Runway API address", "https://api.dev.runwayml.com"),
    Setting(
        "RUNWAY_DELIVERY_HOSTS",
        "hosts that Runway's outputs come from, with commas between",
        "dnznrvs05pmza.cloudfront.net",
    ),
    Setting("STABILITY_API_KEY", "Stability AI API key", secret=True),
    Setting("STABILITY_BASE_URL", "Stability AI API address", "https://api.stability.ai"),
    Setting("OPENAI_API_KEY", "OpenAI API key", secret=True),
    Setting("OPENAI_BASE_URL", "OpenAI API address", "https://api.openai.com/v1"),
    Setting(
        "OPENAI_ORGANIZATION", "OpenAI organization, for a key that belongs to several", aliases=("OPENAI_ORG_ID",)
    ),
    Setting("OPENAI_PROJECT", "OpenAI project, for a key that belongs to several", aliases=("OPENAI_PROJECT_ID",)),
    Setting("OPENAI_COMPATIBLE_BASE_URL", "address of a server with OpenAI's image API, up to and with its `/v1`"),
    Setting("OPENAI_COMPATIBLE_API_KEY", "its key, where it takes one", secret=True),
    Setting("OPENAI_COMPATIBLE_DELIVERY_HOSTS", "hosts that its outputs come from, with commas between"),
    Setting("FAL_KEY", "fal API key, `id:secret`", secret=True),
    Setting("FAL_KEY_ID", "first half of fal's API key, instead of FAL_KEY"),
    Setting("FAL_KEY_SECRET", "second half of fal's API key, instead of FAL_KEY", secret=True),
    Setting("FAL_BASE_URL", "address of fal's queue", "https://queue.fal.run"),
    Setting("FAL_QUEUE_RUN_HOST", "host of fal's queue, as fal's own client reads it, instead of FAL_BASE_URL"),
    Setting("FAL_DELIVERY_HOSTS", "hosts that fal's outputs come from, with commas between", "*.fal.media"),
    Setting(
        "FAL_WEBHOOK_KEYS_URL",
        "where fal publishes the keys that sign its webhooks",
        "https://rest.fal.ai/.well-known/jwks.json",
    ),
    Setting("IMAGE_PROVIDER", "provider of images when no model is named", "replicate"),
    Setting("VIDEO_PROVIDER", "provider of videos when no model is named", "poe"),
    Setting("TEXT_PROVIDER", "provider of texts when no model is named", "poe"),
    Setting("IMAGE_MODEL", "model of images: `model` or `provider:model`"),
    Setting("VIDEO_MODEL", "model of videos: `model` or `provider:model`"),
    Setting("TEXT_MODEL", "model of texts: `model` or `provider:model`"),
    Setting("MEDIA_IMAGE_TIMEOUT", "seconds to wait for an image", "60"),
    Setting("MEDIA_VIDEO_TIMEOUT", "seconds to wait for a video", "120"),
    Setting("MEDIA_STORAGE", "storage by name: `r2`, `s3`, `local`, `memory`, or one of a plugin"),
    Setting("MEDIA_LOCAL_DIR", "folder of the local storage", "./media"),
    Setting("MEDIA_PUBLIC_URL", "public address of the local storage's folder"),
    Setting("MEDIA_KEY_TEMPLATE", "how objects are named", "{year}/{month}/{job_id}-{index}.{extension}"),
    Setting(
        "MEDIA_LEDGER",
        "where jobs are recorded: `memory`, `sqlite:///path`, `postgresql://...`",
        "memory",
        secret=True,
    ),
    Setting("MEDIA_WEBHOOK_URL", "public https address of `webhook_app`, which providers tell when a job has ended"),
    Setting(
        "REPLICATE_WEBHOOK_SECRET",
        "Replicate's webhook secret, several with commas between; without it Replicate is asked",
        secret=True,
    ),
    Setting("MEDIA_NOTIFY_URL", "address that is told, by a signed webhook, when a job has ended"),
    Setting("MEDIA_NOTIFY_SECRET", "`whsec_...`, with which these are signed", secret=True),
    Setting("MEDIA_TRUSTED_HOSTS", "exact `host:port` entries that may be http or private, with commas between"),
    Setting("MEDIA_STRICT_HOSTS", "`1` refuses outputs from hosts outside the provider's list"),
    Setting("R2_ACCOUNT_ID", "Cloudflare account id", aliases=("CLOUDFLARE_ACCOUNT_ID",)),
    Setting("R2_ACCESS_KEY_ID", "R2 access key id", secret=True),
    Setting("R2_SECRET_ACCESS_KEY", "R2 secret access key", secret=True),
    Setting("R2_SESSION_TOKEN", "R2 session token of temporary credentials", secret=True),
    Setting("R2_BUCKET", "R2 bucket", aliases=("R2_BUCKET_NAME",)),
    Setting("R2_ENDPOINT", "R2 S3 address, instead of account id and jurisdiction", aliases=("R2_ENDPOINT_URL",)),
    Setting("R2_JURISDICTION", "`eu` or `fedramp` for buckets of a jurisdiction"),
    Setting("R2_PUBLIC_URL", "public address of the bucket: a custom domain, or r2.dev for development"),
    Setting("R2_KEY_PREFIX", "prefix of every object key"),
    Setting("S3_ENDPOINT", "address of any other S3; empty for AWS"),
    Setting("S3_REGION", "region of the bucket", "us-east-1"),
    Setting("S3_BUCKET", "bucket"),
    Setting("S3_ACCESS_KEY_ID", "access key id", secret=True),
    Setting("S3_SECRET_ACCESS_KEY", "secret access key", secret=True),
    Setting("S3_SESSION_TOKEN", "session token of temporary credentials", secret=True),
    Setting("S3_PUBLIC_URL", "public address of the bucket"),
    Setting("S3_KEY_PREFIX", "prefix of every object key"),
    Setting("S3_CA_BUNDLE", "file with the certificate authorities of a private S3"),
)

OLD_NAMES: dict[str, str] = {
    "R2_ACCESS_KEY": "R2_ACCESS_KEY_ID or R2_SECRET_ACCESS_KEY (it was used for both)",
    "R2_SECRET_KEY": "R2_SECRET_ACCESS_KEY",
    "R2_S3_ENDPOINT": "R2_ENDPOINT",
    "R2_PUBLIC_BASE_URL": "R2_PUBLIC_URL",
    "R2_PUBLIC_BASE": "R2_PUBLIC_URL",
    "CLOUDFLARE_R2_ACCESS_KEY_ID": "R2_ACCESS_KEY_ID",
    "CLOUDFLARE_R2_SECRET_ACCESS_KEY": "R2_SECRET_ACCESS_KEY",
    "CLOUDFLARE_R2_BUCKET": "R2_BUCKET",
    "CLOUDFLARE_R2_ENDPOINT": "R2_ENDPOINT",
    "CLOUDFLARE_R2_PUBLIC_URL": "R2_PUBLIC_URL",
    "CLOUDFLARE_R2_ACCOUNT_ID": "R2_ACCOUNT_ID",
    "S3_ACCESS_KEY": "S3_ACCESS_KEY_ID",
    "S3_SECRET_KEY": "S3_SECRET_ACCESS_KEY",
    "S3_ENDPOINT_URL": "S3_ENDPOINT",
    "S3_BUCKET_NAME": "S3_BUCKET",
}
"""Names that people use and that are not read, with the name that was probably meant."""

NO_LONGER_USED: dict[str, str] = {
    "USE_MOCK_MEDIA_GENERATION": "it no longer does anything: run `aifs-media emulate` where made-up media are wanted",
    "USE_REPLICATE_FOR_VIDEO": "it no longer does anything: set VIDEO_PROVIDER=replicate",
}

SHORTEST_SECRET = 6
"""Characters. What is shorter is no key, and would be found everywhere."""

_SECRET_ENDINGS = frozenset({"KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIALS"})
_ROWS = {row.name: row for row in SETTINGS}
_CANONICAL = {alias: row.name for row in SETTINGS for alias in (row.name, *row.aliases)}


class Settings:
    """Settings as they were given, read through the table. Empty counts as unset, and white space around is dropped.

        Settings.from_env()                                        # os.environ
        Settings.from_env({"REPLICATE_API_KEY": "..."})            # any mapping
        Settings.from_env(env_file=".env")                         # a file, below the environment
        Settings(replicate_api_key="...", media_video_timeout=300) # typed values

    Names that are not in the table are kept for plugins, which declare their own in the same form.
    """

    def __init__(self, **values: str | float | None) -> None:
        self._values: dict[str, str] = {}
        for key, value in values.items():
            name = _CANONICAL.get(key.upper())
            if name is None:
                raise _unknown(key)
            self._set(name, "" if value is None else str(value))

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        env_file: str | os.PathLike[str] | None = None,
        **overrides: str | float | None,
    ) -> Self:
        """Read settings from a mapping (the process's environment by default).

        Args:
            environ: the mapping; nothing else is read then.
            env_file: a `.env` file; what it says counts less than `environ`.
            overrides: settings by their lower-case names; they count most.

        Raises:
            ConfigurationError: the file is not there, or an override is not a setting.
        """
        found = cls(**overrides)
        for source in (os.environ if environ is None else environ, _read_file(env_file)):
            # What counts more was read before; within one source the canonical name beats its aliases.
            for alias in sorted(source, key=lambda alias: alias not in _ROWS):
                name = _CANONICAL.get(alias, alias)
                if name not in found._values:
                    found._set(name, source[alias])
        return found

    def _set(self, name: str, value: str) -> None:
        if value.strip():
            self._values[name] = value.strip()

    def text(self, name: str) -> str:
        """Return a setting, its default, or empty text."""
        return self._values.get(name) or (_ROWS[name].default if name in _ROWS else "")

    def given(self, name: str) -> bool:
        """Say whether the setting was given, rather than left to its default."""
        return name in self._values

    def number(self, name: str) -> float:
        """Return a setting as a number above 0.

        Raises:
            ConfigurationError: it is not one.
        """
        text = self.text(name)
        try:
            number = float(text)
        except ValueError:
            number = 0.0
        if not 0 < number < float("inf"):
            raise _bad(name, text, "Give a number of seconds above 0.")
        return number

    def items(self, name: str) -> tuple[str, ...]:
        """Return a setting that lists things with commas between."""
        return tuple(item.strip() for item in self.text(name).split(",") if item.strip())

    def flag(self, name: str) -> bool:
        """Return a setting that is on or off."""
        text = self.text(name).lower()
        if text in {"1", "true", "yes", "on"}:
            return True
        if text in {"", "0", "false", "no", "off"}:
            return False
        raise _bad(name, text, "Give 1 or 0.")

    def environ(self) -> dict[str, str]:
        """Return everything that was given, as environment names; this is what plugins are built from."""
        return dict(self._values)

    def secrets(self) -> list[str]:
        """Return the values that no text may repeat: secrets of the table, and of plugins by what their names say."""
        return [
            value
            for name, value in self._values.items()
            if len(value) >= SHORTEST_SECRET
            and (_is_secret(name) if name in _ROWS else name.rpartition("_")[2] in _SECRET_ENDINGS)
        ]

    def warnings(self) -> Iterator[str]:
        """Yield one sentence per name that is set and no longer does anything."""
        for name, reason in NO_LONGER_USED.items():
            if name in self._values:
                yield f"{name} is set: {reason}."

    def __repr__(self) -> str:
        from aifs_media._secrets import redact

        shown = (
            f"{name}=***" if _is_secret(name) else f"{name}={redact(value)!r}"
            for name, value in sorted(self._values.items())
            if name in _ROWS
        )
        return f"Settings({', '.join(shown)})"

    def __reduce__(self) -> str:
        raise TypeError("Settings hold keys and cannot be pickled. Read them again where they are needed.")


def _is_secret(name: str) -> bool:
    return _ROWS[name].secret


def _read_file(path: str | os.PathLike[str] | None) -> Mapping[str, str]:
    if path is None:
        return {}
    from aifs_media.errors import ConfigurationError

    name = os.fspath(path)
    if not os.path.isfile(path):  # noqa: PTH113 - pathlib is not loaded here
        raise ConfigurationError(f"There is no settings file {name!r}.", hint="Name an existing .env file.")
    from dotenv import dotenv_values

    try:
        return {name: value for name, value in dotenv_values(path).items() if value is not None}
    except UnicodeDecodeError:
        # Without its cause, which holds the file's bytes, keys among them.
        raise ConfigurationError(f"The settings file {name!r} is not UTF-8 text.", hint="Save it as UTF-8.") from None
    except OSError as error:
        raise ConfigurationError(f"The settings file {name!r} cannot be read: {error.strerror}.") from error


def _unknown(key: str) -> Exception:
    import difflib

    from aifs_media.errors import ConfigurationError

    close = difflib.get_close_matches(key.lower(), [name.lower() for name in _CANONICAL], n=1)
    return ConfigurationError(
        f"There is no setting {key!r}.", hint=f"Did you mean {close[0]!r}?" if close else "See docs/configuration.md."
    )


def _bad(name: str, text: str, hint: str) -> Exception:
    from aifs_media.errors import ConfigurationError

    return ConfigurationError(f"{name}={text!r} cannot be used.", hint=hint)
