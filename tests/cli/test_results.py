"""What the commands leave behind when all goes well."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from aifs_media import Asset, Caption, HealthReport, TextResult, __version__

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from aifs_media.testing.emulator import Emulator

    Run = Callable[..., subprocess.CompletedProcess[str]]

ZEROSCOPE = "replicate:anotherjesse/zeroscope-v2-xl:9f747673945c62801b13b84701c783929c0ee784e4748ec062204894dda1a351"


def test_image_for_people(aifs: Run) -> None:
    """The URL is alone on the first line of stdout, the facts follow, and stderr says what happened meanwhile."""
    ended = aifs("image", "A paper boat [on] a puddle", "--size", "1024x1024", "--seed", "7")
    url, *facts = ended.stdout.splitlines()
    assert (ended.returncode, Path(unquote(urlsplit(url).path)).is_file()) == (0, True)
    assert "  seed: 7" in facts
    assert "  cost: 0.003 USD (estimated: 1 image)" in facts
    assert any("1024x1024" in fact for fact in facts)
    assert "replicate has accepted the job" in ended.stderr.splitlines()
    assert "Traceback" not in ended.stderr
    assert "\x1b" not in ended.stdout + ended.stderr


def test_image_for_machines(aifs: Run, emulator: Emulator) -> None:
    """Stdout is one JSON document: the asset, with tags, job id and namespace as they were given."""
    given = ("--tag", "campaign=spring sale", "--job-id", "boat", "--namespace", "acme", "--format", "webp")
    ended = aifs("image", "A boat", "--json", *given, "--option", "go_fast=false", "-o", "output_quality=70")
    asset = Asset.model_validate_json(ended.stdout)
    assert (asset.job_id, asset.namespace, asset.tags, asset.emulated) == (
        "boat", "acme", {"campaign": "spring sale"}, True,
    )  # fmt: skip
    sent = emulator.books().predictions[0].input
    assert (sent["go_fast"], sent["output_quality"], sent["output_format"]) == (False, 70, "webp")


def test_several_images_are_an_array(aifs: Run, emulator: Emulator) -> None:
    """Several images come from one create, and as JSON they are an array."""
    ended = aifs("image", "A boat", "-n", "3", "--json")
    assets = [Asset.model_validate(item) for item in json.loads(ended.stdout)]
    assert [asset.index for asset in assets] == [0, 1, 2]
    assert emulator.books().creates == 1


def test_video(aifs: Run, emulator: Emulator) -> None:
    """A video's own options arrive at the provider, and its length and rate are shown as measured."""
    ended = aifs(
        "video", "A boat", "-m", ZEROSCOPE, "--duration", "2", "--fps", "8", "--size", "256x256",
        "--negative-prompt", "people",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "256x256, 2 s, 8 frames per second" in ended.stdout
    sent = emulator.books().predictions[0].input
    assert (sent["num_frames"], sent["fps"], sent["negative_prompt"]) == (16, 8, "people")


def test_texts(aifs: Run) -> None:
    """Texts go to stdout as they are, or as JSON."""
    assert aifs("text", "Say something about boats").stdout.strip()
    assert TextResult.model_validate_json(aifs("text", "Boats", "--json").stdout).provider == "poe"
    ended = aifs("caption", "Boats", "--tone", "warm", "--hashtags", "3", "--json")
    assert len(Caption.model_validate_json(ended.stdout).hashtags) == 3


def test_models(aifs: Run, bare: dict[str, str]) -> None:
    """The list needs no key, can be narrowed to a kind, and keeps a model on one line when it is piped."""
    ended = aifs("models", "--kind", "image", env=bare)
    line = next(line for line in ended.stdout.splitlines() if "replicate:black-forest-labs/flux-schnell" in line)
    assert "0.003 USD per image" in line
    assert "video" not in ended.stdout
    narrow = aifs("models", "--kind", "video", "--duration", "15", env=bare).stdout
    assert "kling-v3-video" in narrow
    assert "zeroscope" not in narrow
    cheap = json.loads(aifs("models", "--max-cost", "0.003", "--json", env=bare).stdout)
    assert "black-forest-labs/flux-schnell" in {model["model"] for model in cheap}
    assert all(model["price"] for model in cheap)
    known = json.loads(aifs("models", "--json", env=bare).stdout)
    assert {model["kind"] for model in known} == {"image", "video"}


def test_providers(aifs: Run, environ: dict[str, str]) -> None:
    """Each provider says where it is from, what it makes, and what it still needs."""
    found = json.loads(aifs("providers", "--json", env={**environ, "POE_API_KEY": ""}).stdout)
    states = {provider["name"]: provider["state"] for provider in found}
    assert (states["poe"], states["replicate"]) == ("needs POE_API_KEY", "ready")
    assert "built in" in aifs("providers").stdout


def test_doctor(aifs: Run, bare: dict[str, str]) -> None:
    """The doctor exits with 0 where all is well; else with 3 and what to do next."""
    well = aifs("doctor")
    assert (well.returncode, "✗" in well.stdout) == (0, False), well.stdout
    ill = aifs("doctor", env=bare)
    assert (ill.returncode, "✗" in ill.stdout, "→" in ill.stdout) == (3, True, True)
    assert "POE_API_KEY" in ill.stdout
    report = aifs("doctor", "--json", env=bare)
    assert (report.returncode, HealthReport.model_validate_json(report.stdout).ok) == (3, False)


def test_env_files(aifs: Run, bare: dict[str, str], emulator: Emulator, tmp_path: Path) -> None:
    """`./.env` is read by itself, and another file when it is named; one that is not there is an error."""
    lines = "\n".join(f"{name}={value}" for name, value in emulator.settings().items())
    (tmp_path / "other.env").write_text(lines)
    assert aifs("image", "A boat", env=bare).returncode == 3
    assert aifs("image", "A boat", "--env-file", "other.env", env=bare).returncode == 0
    (tmp_path / "other.env").rename(tmp_path / ".env")
    assert aifs("image", "A boat", env=bare).returncode == 0
    missing = aifs("image", "A boat", "--env-file", "none.env", env=bare)
    assert (missing.returncode, "'none.env'" in missing.stderr) == (3, True)


def test_version_and_help(aifs: Run) -> None:
    """The version is printed; without a command the help is, and that is an error."""
    assert aifs("--version").stdout == f"aifs-media {__version__}\n"
    ended = aifs()
    assert (ended.returncode, "doctor" in ended.stdout) == (2, True)


def test_help_imports_little(aifs: Run) -> None:
    """The help of a command loads nothing that only work needs."""
    code = (
        "import sys; from aifs_media.cli.application import run; run(['image', '--help']);"
        "print({'aifs_media.records', 'httpx', 'boto3', 'anyio', 'av'} & set(sys.modules))"
    )
    assert aifs(command=(sys.executable, "-c", code)).stdout.splitlines()[-1] == "set()"
