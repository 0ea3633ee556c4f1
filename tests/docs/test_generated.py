"""What is made from the code is current: the tables in the pages and the sample of a .env file."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aifs_media import Settings
from aifs_media.settings import SETTINGS

if TYPE_CHECKING:
    from types import ModuleType

PROJECT = Path(__file__).resolve().parents[2]
AGAIN = "run: python docs/generate.py"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    specification = importlib.util.spec_from_file_location("generate", PROJECT / "docs/generate.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_every_made_part_is_current(generate: ModuleType) -> None:
    """No page differs from what the code would write into it."""
    for page in generate.pages():
        assert generate.renewed(page.read_text()) == page.read_text(), AGAIN


def test_every_made_part_is_shown_somewhere(generate: ModuleType) -> None:
    """Each part that can be made stands in a page."""
    text = "".join(page.read_text() for page in generate.pages())
    assert {found[2] for found in generate.MADE.finditer(text)} == set(generate.PARTS)


def test_the_env_sample_is_current_and_complete(generate: ModuleType) -> None:
    """.env.example names every setting once and nothing that is not read."""
    text = (PROJECT / ".env.example").read_text()
    assert text == generate.env_example(), AGAIN
    names = re.findall(r"^(?:# )?([A-Z0-9_]+)=", text, re.MULTILINE)
    assert sorted(names) == sorted(row.name for row in SETTINGS)


def test_the_env_sample_can_be_read() -> None:
    """What the sample sets is what a caller gets; its empty lines count as not set."""
    settings = Settings.from_env({}, env_file=PROJECT / ".env.example")
    assert settings.environ() == {"VIDEO_MODEL": "poe:veo-3.1"}
