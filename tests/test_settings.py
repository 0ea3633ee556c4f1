"""Settings: what counts more, what is refused, and what never shows."""

from __future__ import annotations

import pickle
import warnings
from typing import TYPE_CHECKING

import pytest

from aifs_media._registry import make_storage
from aifs_media.errors import ConfigurationError, UnknownProviderError
from aifs_media.settings import SETTINGS, Settings

if TYPE_CHECKING:
    from pathlib import Path

R2 = {
    "R2_ACCOUNT_ID": "0" * 32,
    "R2_ACCESS_KEY_ID": "a" * 32,
    "R2_SECRET_ACCESS_KEY": "b" * 64,
    "R2_BUCKET": "media",
}


def test_explicit_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    """Four layers, in that order."""
    file = tmp_path / "settings.env"
    file.write_text("VIDEO_PROVIDER=from-file\nIMAGE_PROVIDER=from-file\nTEXT_PROVIDER=from-file\n")
    environ = {"VIDEO_PROVIDER": "from-environment", "IMAGE_PROVIDER": "from-environment"}
    settings = Settings.from_env(environ, env_file=file, video_provider="explicit")
    assert settings.text("VIDEO_PROVIDER") == "explicit"
    assert settings.text("IMAGE_PROVIDER") == "from-environment"
    assert settings.text("TEXT_PROVIDER") == "from-file"
    assert settings.text("MEDIA_IMAGE_TIMEOUT") == "60"


def test_canonical_name_beats_alias() -> None:
    """Both token names are read; the canonical one counts."""
    both = {"REPLICATE_API_TOKEN": "alias", "REPLICATE_API_KEY": "canonical"}
    assert Settings.from_env(both).text("REPLICATE_API_KEY") == "canonical"
    assert Settings.from_env({"REPLICATE_API_TOKEN": "alias"}).text("REPLICATE_API_KEY") == "alias"


def test_empty_counts_as_unset_and_space_is_dropped() -> None:
    """A line `NAME=` in a file of settings means nothing."""
    settings = Settings.from_env({"IMAGE_PROVIDER": "  ", "VIDEO_PROVIDER": " replicate\n"})
    assert settings.text("IMAGE_PROVIDER") == "replicate"
    assert settings.text("VIDEO_PROVIDER") == "replicate"


def test_misspelt_setting_is_refused_with_a_guess() -> None:
    """A typed setting that does not exist raises and says what was meant."""
    with pytest.raises(ConfigurationError, match="Did you mean 'video_provider'"):
        Settings(video_provder="poe")


def test_missing_file_is_refused(tmp_path: Path) -> None:
    """A named file that is not there is no silent default."""
    with pytest.raises(ConfigurationError, match="There is no settings file"):
        Settings.from_env({}, env_file=tmp_path / "none.env")


@pytest.mark.parametrize("text", ["0", "-1", "soon", "inf", "nan"])
def test_bad_numbers_are_refused(text: str) -> None:
    """A timeout is a number of seconds above 0."""
    with pytest.raises(ConfigurationError, match="MEDIA_VIDEO_TIMEOUT"):
        Settings(media_video_timeout=text).number("MEDIA_VIDEO_TIMEOUT")


def test_secrets_never_show() -> None:
    """Neither repr nor pickle gives a key away."""
    settings = Settings(**{row.name.lower(): "canary-7c1f" for row in SETTINGS if row.secret})
    assert "canary" not in repr(settings)
    with pytest.raises(TypeError):
        pickle.dumps(settings)


@pytest.mark.parametrize("missing", ["R2_ACCESS_KEY_ID", "R2_SECRET_ACCESS_KEY", "R2_BUCKET", "R2_ACCOUNT_ID"])
def test_half_a_set_names_what_is_missing(missing: str) -> None:
    """An incomplete R2 set is an error, never a local folder."""
    with pytest.raises(ConfigurationError, match=missing):
        make_storage(Settings.from_env({name: value for name, value in R2.items() if name != missing}))


def test_old_name_is_recognised() -> None:
    """The name that was probably meant is in the error."""
    environ = {**R2, "R2_SECRET_KEY": "x"}
    del environ["R2_SECRET_ACCESS_KEY"]
    with pytest.raises(ConfigurationError, match="R2_SECRET_KEY is not read: R2_SECRET_ACCESS_KEY"):
        make_storage(Settings.from_env(environ))
    with pytest.raises(ConfigurationError, match="R2_ACCESS_KEY_ID"):
        make_storage(Settings.from_env({"CLOUDFLARE_R2_BUCKET": "media"}))


def test_both_sets_need_a_choice() -> None:
    """R2 and S3 together are a question, not a guess."""
    with pytest.raises(ConfigurationError, match="MEDIA_STORAGE"):
        make_storage(Settings.from_env({**R2, "S3_BUCKET": "b"}))


def test_complete_set_is_used_and_local_is_announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R2 when its set is complete; a folder only when nothing is set, with one warning."""
    monkeypatch.chdir(tmp_path)
    assert make_storage(Settings.from_env(R2)).name == "r2"
    with pytest.warns(UserWarning, match="No storage is configured"):
        assert make_storage(Settings.from_env({})).name == "local"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert make_storage(Settings.from_env({"MEDIA_STORAGE": "local"})).name == "local"


def test_public_address_of_the_s3_host_is_refused() -> None:
    """The most common mistake with R2: its S3 host is no public address."""
    with pytest.raises(ConfigurationError, match=r"r2\.cloudflarestorage\.com"):
        make_storage(Settings.from_env({**R2, "R2_PUBLIC_URL": f"https://{'0' * 32}.r2.cloudflarestorage.com/media"}))


def test_unknown_storage_name() -> None:
    """A storage that nobody has is named, with those that there are."""
    with pytest.raises(UnknownProviderError, match="no storage named 'gcs'"):
        make_storage(Settings.from_env({"MEDIA_STORAGE": "gcs"}))


def test_names_without_effect_are_told() -> None:
    """Two switches of the earlier product say that they no longer do anything."""
    told = list(Settings.from_env({"USE_MOCK_MEDIA_GENERATION": "true", "USE_REPLICATE_FOR_VIDEO": "1"}).warnings())
    assert len(told) == 2
    assert "aifs-media emulate" in told[0]
