"""The built wheels as a stranger gets them: what is in them, and that they work in a fresh environment.

Runs in `nox -s package`, which builds the wheels and says in WHEELS where they are.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

pytestmark = pytest.mark.skipif("WHEELS" not in os.environ, reason="nox -s package builds the wheels first")

PROJECT = Path(__file__).resolve().parents[2]
EXAMPLE = PROJECT / "examples/acme-provider/src/aifs_media_acme/__init__.py"
MEDIA = {
    ".png",
    ".jpg",
    ".jpeg",
    ".webp",
    ".gif",
    ".avif",
    ".mp4",
    ".webm",
    ".mov",
    ".mkv",
    ".mp3",
    ".wav",
    ".ttf",
    ".otf",
}
EXTRAS = ("typer", "rich", "av", "PIL", "starlette", "uvicorn")

IMAGE = """
import sys
from aifs_media import MediaError, SyncMediaGenerator

try:
    asset = SyncMediaGenerator.from_env().image(sys.argv[1], model="acme:acme-sketch", size="96x64", seed=7)
except MediaError as error:
    print(type(error).__name__, error, sep=": ")
else:
    print(asset.model_dump_json())
"""

NAMES = """
from importlib.util import find_spec
import aifs_media, aifs_media.toolkit, aifs_media.providers.poe, aifs_media.providers.replicate
for name in aifs_media.__all__:
    getattr(aifs_media, name)
print([name for name in {extras!r} if find_spec(name) is not None])
"""

BROKEN = """
from aifs_media import MediaGenerator

generator = MediaGenerator.from_env()
print(sorted({provider for provider, _ in generator.models()}))
"""


MADE_BY = ("fal", "openai", "poe", "replicate", "runway", "stability")
"""The providers that have models of their own choice."""


def wheel(name: str) -> Path:
    (found,) = Path(os.environ["WHEELS"]).glob(f"{name}-*.whl")
    return found


class Environment:
    """A fresh environment with these wheels and nothing else that was asked for."""

    def __init__(self, folder: Path, *wheels: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        self.bin = folder / ("Scripts" if os.name == "nt" else "bin")
        self.install(*wheels)

    def install(self, *what: Path | str) -> None:
        self.pip("install", *what)

    def pip(self, command: str, *arguments: Path | str) -> None:
        subprocess.run([self.bin / "python", "-m", "pip", command, "--quiet", *arguments], check=True)

    def run(self, *command: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        clean = {"PATH": os.environ["PATH"], "PYTHONWARNINGS": "error", **(env or {})}
        first, *rest = command
        return subprocess.run(
            [self.bin / first, *rest], check=False, cwd=cwd, env=clean, capture_output=True, text=True, timeout=60
        )

    def python(self, script: str, *arguments: str, cwd: Path, env: dict[str, str] | None = None) -> str:
        done = self.run("python", "-c", script, *arguments, cwd=cwd, env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("environment"), wheel("aifs_media"), wheel("aifs_media_acme"))


@pytest.fixture(scope="module")
def acme() -> Iterator[ModuleType]:
    specification = importlib.util.spec_from_file_location("acme", Path(__file__).with_name("acme.py"))
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def settings(address: str, key: str, folder: Path) -> dict[str, str]:
    return {
        "ACME_BASE_URL": f"http://{address}/v1",
        "ACME_API_KEY": key,
        "MEDIA_TRUSTED_HOSTS": address,
        "MEDIA_STORAGE": "local",
        "MEDIA_LOCAL_DIR": str(folder),
    }


def test_the_wheel_holds_types_and_data_and_no_media() -> None:
    """The wheel has py.typed, the models' data and the licence, and neither media files, fonts nor tests."""
    names = zipfile.ZipFile(wheel("aifs_media")).namelist()
    assert "aifs_media/py.typed" in names
    for folder in ("aifs_media/providers/data", "aifs_media/testing/emulator/data"):
        in_tree = {f"{folder}/{path.name}" for path in (PROJECT / "src" / folder).iterdir() if path.is_file()}
        assert in_tree
        assert in_tree <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert [name for name in names if Path(name).suffix.lower() in MEDIA] == []
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"aifs_media"}


def test_the_example_is_small_and_imports_only_what_is_public() -> None:
    """The example provider has under 60 lines of code and imports `aifs_media`, `aifs_media.toolkit` and the standard library."""
    text = EXAMPLE.read_text()
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert len(lines) < 60
    imported: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
    others = {name for name in imported if name.partition(".")[0] not in sys.stdlib_module_names}
    assert others <= {"aifs_media", "aifs_media.toolkit"}


def test_a_bare_install_needs_no_extra(environment: Environment, tmp_path: Path) -> None:
    """Every public name loads without the packages of the extras, and none of those is installed."""
    assert environment.python(NAMES.format(extras=EXTRAS), cwd=tmp_path).strip() == "[]"


def test_the_command_without_its_extra_says_how_to_install_it(environment: Environment, tmp_path: Path) -> None:
    """`aifs-media` of a bare install ends with one sentence that names the extra, and no traceback."""
    done = environment.run("aifs-media", "--help", cwd=tmp_path)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "aifs-media[cli]" in said
    assert "Traceback" not in said


def test_the_emulator_without_its_extra_says_how_to_install_it(environment: Environment, tmp_path: Path) -> None:
    """Importing the emulator in a bare install names the extra."""
    done = environment.run("python", "-c", "import aifs_media.testing.emulator", cwd=tmp_path)
    assert "aifs-media[emulator]" in done.stderr


def test_the_installed_provider_makes_an_image(environment: Environment, acme: ModuleType, tmp_path: Path) -> None:
    """A provider of another package is found by its name, and its picture ends in the folder, paid for once."""
    with acme.running() as server:
        env = settings(server.address, acme.KEY, tmp_path / "media")
        asset = json.loads(environment.python(IMAGE, "a red square", cwd=tmp_path, env=env))
        assert len(server.created) == 1
        assert all(server.keys)
    assert server.created[0] == {
        "model": "acme-sketch",
        "inputs": {"text": "a red square", "seed": 7, "width": 96, "height": 64},
    }
    assert (asset["provider"], asset["model"]) == ("acme", "acme-sketch")
    assert (asset["width"], asset["height"], asset["seed"], asset["media_type"]) == (96, 64, 7, "image/png")
    assert (tmp_path / "media" / asset["object_key"]).read_bytes() == acme.picture(96, 64, 40)


@pytest.mark.parametrize(
    ("prompt", "key", "error", "words"),
    [
        ("no credit", "", "PaymentRequiredError", "Please add credits at https://acme.example/billing"),
        ("a red square", "wrong", "AuthenticationError", "ACME_API_KEY"),
        ("a red square", "none", "MissingCredentialError", "Acme API key is required"),
    ],
)
def test_the_installed_provider_fails_clearly(
    environment: Environment, acme: ModuleType, tmp_path: Path, prompt: str, key: str, error: str, words: str
) -> None:
    """What the toolkit brings reaches the user: no credit, a wrong key and a missing key are typed and say what to do."""
    with acme.running() as server:
        env = settings(server.address, {"": acme.KEY, "none": ""}.get(key, key), tmp_path / "media")
        said = environment.python(IMAGE, prompt, cwd=tmp_path, env=env)
    assert said.startswith(f"{error}: ")
    assert words in said
    assert server.created == []


def test_a_new_provider_is_built_installed_and_tested(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    """What `aifs-media new-provider` writes becomes a wheel that is found by its name and passes the tests that came with it."""
    fresh = Environment(tmp_path_factory.mktemp("author"), wheel("aifs_media"))
    fresh.install("typer", "rich", "hatchling", "pytest", "trio")
    made = fresh.run("aifs-media", "new-provider", "pixel-forge", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    folder = tmp_path / "aifs-media-pixel-forge"
    fresh.pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, folder)
    fresh.install(*tmp_path.glob("*.whl"))
    (folder / "src").rename(tmp_path / "away")  # so that the tests can only find what was installed
    tested = fresh.run("python", "-m", "pytest", "-q", "-W", "error", cwd=folder)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert " passed" in tested.stdout
    listed = fresh.run("aifs-media", "providers", "--json", cwd=tmp_path)
    assert {
        "name": "pixel-forge",
        "origin": "aifs-media-pixel-forge 0.1.0",
        "makes": ["image", "video"],
        "state": "needs PIXEL_FORGE_API_KEY",
    } in (json.loads(listed.stdout))


def test_a_broken_plugin_breaks_only_itself(environment: Environment, acme: ModuleType, tmp_path: Path) -> None:
    """A plugin that raises when it is imported is a typed error where it is asked for; everything else works."""
    environment.install(broken_plugin(tmp_path))
    broken = IMAGE.replace("acme:acme-sketch", "broken:thing")
    with acme.running() as server:
        env = settings(server.address, acme.KEY, tmp_path / "media")
        said = environment.python(broken, "a red square", cwd=tmp_path, env=env)
        assert said.startswith("PluginError: ")
        assert "aifs-media-broken 1.0" in said
        assert "no such luck" in said
        assert json.loads(environment.python(IMAGE, "a red square", cwd=tmp_path, env=env))["provider"] == "acme"
    unknown = IMAGE.replace("acme:acme-sketch", "akme:thing")
    said = environment.python(unknown, "a red square", cwd=tmp_path, env=env)
    assert said.startswith("UnknownProviderError: ")
    assert "Did you mean 'acme'?" in said
    assert environment.python(BROKEN, cwd=tmp_path, env=env).strip() == str(["acme", *MADE_BY])


def broken_plugin(folder: Path) -> Path:
    """Write the wheel of a plugin whose module raises."""
    info = "aifs_media_broken-1.0.dist-info"
    files = {
        "aifs_media_broken.py": "raise RuntimeError('no such luck')\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: aifs-media-broken\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[aifs_media.providers]\nbroken = aifs_media_broken:Broken\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    path = folder / "aifs_media_broken-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path
