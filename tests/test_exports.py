"""The public names are what they say, and importing them costs next to nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import aifs_media
from aifs_media import testing


def test_every_exported_name_resolves() -> None:
    """Each name of __all__ can be had, and dir() shows it."""
    for name in aifs_media.__all__:
        assert getattr(aifs_media, name) is not None
    assert sorted(dir(aifs_media)) == sorted(aifs_media.__all__)


def test_lazy_names_equal_the_typed_ones() -> None:
    """What type checkers see is exactly what the running module offers."""
    tree = ast.parse(Path(aifs_media.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    typed = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert typed == aifs_media._HOME


def test_the_test_kit_offers_what_it_says() -> None:
    """The same for aifs_media.testing: every name can be had, and type checkers see the same ones."""
    assert sorted(dir(testing)) == sorted(testing.__all__) == sorted(testing._HOME)
    for name in testing.__all__:
        assert getattr(testing, name) is not None
    tree = ast.parse(Path(testing.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    typed = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert typed == {name: f"aifs_media.testing.{module}" for name, module in testing._HOME.items()}


def test_a_misspelt_name_is_an_attribute_error() -> None:
    """The module does not answer for names it does not have."""
    try:
        aifs_media.MediaGenerater  # type: ignore[attr-defined]  # noqa: B018
    except AttributeError as error:
        assert "MediaGenerater" in str(error)
    else:
        raise AssertionError("no AttributeError")


def test_import_and_from_env_load_nothing_heavy() -> None:
    """`from_env()` on the lazy package loads none of the libraries it will need later."""
    code = (
        "import sys; from aifs_media import MediaGenerator; MediaGenerator.from_env({'REPLICATE_API_KEY': 'k'});"
        "heavy = {'httpx', 'httpcore', 'pydantic', 'boto3', 'botocore', 'anyio', 'stamina', 'dataclasses', 'importlib.metadata', 'asyncio'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
