"""The built-in data about models: every file of every provider is complete, consistent and says where it is from."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

import aifs_media
from aifs_media.records import Capability

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(aifs_media.__file__).parent / "providers" / "data"
FILES = sorted(FOLDER.glob("*.json"))
COMMON_NAMES = {
    "prompt", "n", "width", "height", "size", "aspect_ratio", "seed", "duration", "fps", "image", "negative_prompt",
    "output_format",
}  # fmt: skip
BESIDE_INPUTS = {"prompt", "image"}
"""What may go out beside the model's parameters, for example as the message of a chat."""

JSON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "array": (list,), "object": (dict,),
}  # fmt: skip
SUCCESSOR_TABLES = ("retired", "successors")
ASKS_FOR_ANY_MODEL = {"replicate"}
"""Providers whose catalogue describes any model, so that a successor need not be built in."""


def load(path: Path) -> dict[str, Any]:
    data = json.loads(path.read_text("utf-8"))
    assert isinstance(data, dict)
    return data


def capabilities() -> list[Any]:
    """Return every capability as it stands in its file."""
    return [
        pytest.param(one, id=f"{path.stem}:{one['model'][:50]}") for path in FILES for one in load(path)["capabilities"]
    ]


def problems(one: dict[str, Any]) -> list[str]:
    """Return what is wrong with a capability, one sentence each."""
    found: list[str] = []
    try:
        capability = Capability.model_validate_json(json.dumps(one))
    except ValidationError as error:
        return [str(error)]
    if unknown := capability.names.keys() - COMMON_NAMES:
        found.append(f"{sorted(unknown)} are no common options")
    inputs = capability.inputs
    if inputs is None:
        return [*found, *_price_problems(one)]
    for common, own in capability.names.items():
        if own not in inputs and common not in BESIDE_INPUTS:
            found.append(f"{common} goes to {own!r}, which is no input")
    known = {*inputs, *capability.names.values()}
    for place, names in (
        ("required", capability.required), ("defaults", capability.defaults), ("custom_size", capability.custom_size),
        ("frames", list(_frame_names(capability))),
    ):  # fmt: skip
        found += [f"{place} names {name!r}, which is no input" for name in names if name not in known]
    for name, schema in inputs.items():
        given = [schema["default"]] if schema.get("default") is not None else []
        given += [values[name] for values in (capability.defaults, capability.custom_size) if name in values]
        found += [f"{name}: {value!r} is not what it takes" for value in given if not _fits(value, schema)]
        if "enum" in schema and len(set(map(str, schema["enum"]))) != len(schema["enum"]):
            found.append(f"{name} lists a member twice")
    ratio = capability.names.get("aspect_ratio")
    members = inputs.get(ratio or "", {}).get("enum")
    if members is not None:
        found += [
            f"sizes has {text!r}, which {ratio} does not take" for text in capability.sizes if text not in members
        ]
    return [*found, *_price_problems(one)]


def _frame_names(capability: Capability) -> Iterator[str]:
    if capability.frames is not None:
        yield capability.frames.name
        if capability.frames.fps_name is not None:
            yield capability.frames.fps_name


def _fits(value: object, schema: dict[str, Any]) -> bool:
    if "enum" in schema:
        return value in schema["enum"]
    wanted = JSON_TYPES.get(schema.get("type", ""))
    if wanted is not None and (not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted)):
        return False
    low, high = schema.get("minimum"), schema.get("maximum")
    if not isinstance(value, int | float):
        return True
    return (low is None or value >= low) and (high is None or value <= high)


def _price_problems(one: dict[str, Any]) -> list[str]:
    price = one.get("price")
    if price is None:
        return []
    found = [] if re.search(r"\w{3}", price.get("source", "")) else ["the price has no source"]
    if not isinstance(price["amount"], str) or not float(price["amount"]) > 0:
        found.append(f"the amount {price['amount']!r} is no decimal text above 0")
    day = iso_date(price["as_of"])
    if day is None:
        return [*found, f"as_of {price['as_of']!r} is no ISO date"]
    return found if day.year >= 2024 else [*found, f"as_of {day} is too old"]


def iso_date(text: str) -> date | None:
    """Read an ISO date, or the month alone where nobody knows the day."""
    try:
        return date.fromisoformat(f"{text}-01" if re.fullmatch(r"\d{4}-\d{2}", text) else text)
    except ValueError:
        return None


def offered() -> dict[str, set[str]]:
    """Return the built-in models of every provider."""
    return {path.stem: {one["model"].lower() for one in load(path)["capabilities"]} for path in FILES}


def table_problems(provider: str, data: dict[str, Any], others: dict[str, set[str]]) -> list[str]:
    """Return what is wrong with a file as a whole."""
    models = [(one["kind"], one["model"].lower()) for one in data["capabilities"]]
    found = [f"{model} is listed twice" for model, number in Counter(models).items() if number > 1]
    if not isinstance(data.get("source"), str) or len(data["source"]) < 20:
        found.append("it does not say where it is from")
    known = {**others, provider: {model for _, model in models}}
    gone: set[str] = set()
    for old, value in data.get("retired", {}).items():
        # What has a day may still be offered until then.
        if not isinstance(value, dict):
            gone.add(old.lower())
        elif iso_date(value["on"]) is None:
            found.append(f"{old} is retired on {value['on']!r}, which is no ISO date")
    found += [f"{name} is retired and offered" for name in sorted(gone & known[provider])]
    for table in SUCCESSOR_TABLES:
        for old, value in data.get(table, {}).items():
            for successor in _followers(value):
                if successor.lower() in {old.lower(), *gone}:
                    found.append(f"{table}: {old} is followed by {successor}, which is gone itself")
                elif not _is_offered(successor.lower(), provider, known):
                    found.append(f"{table}: {old} is followed by {successor}, which is not built in")
    return found


def _followers(value: str | list[str] | dict[str, Any] | None) -> list[str]:
    """Return the successors: one, several, or several beside the day of the end."""
    if isinstance(value, dict):
        return list(value["successors"])
    return [value] if isinstance(value, str) else value or []


def _is_offered(successor: str, provider: str, known: dict[str, set[str]]) -> bool:
    owner, colon, model = successor.partition(":")
    if colon and owner in known:
        return model in known[owner]
    return successor in known[provider] or provider in ASKS_FOR_ANY_MODEL


def test_the_files_are_found() -> None:
    """The next tests have something to look at."""
    assert {"replicate", "poe", "stability"} <= {path.stem for path in FILES}


@pytest.mark.parametrize("one", capabilities())
def test_a_capability(one: dict[str, Any]) -> None:
    """What is said of a model agrees with itself, and its price names source and date."""
    assert problems(one) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file(path: Path) -> None:
    """No model twice, none both retired and offered, and every successor can be used."""
    assert table_problems(path.stem, load(path), offered()) == []


# -- the checks themselves ---------------------------------------------------------------------------------------------

SOUND: dict[str, Any] = {
    "kind": "image",
    "model": "one",
    "names": {"prompt": "prompt", "aspect_ratio": "shape", "seed": "seed"},
    "inputs": {
        "prompt": {"type": "string"},
        "shape": {"enum": ["1:1", "16:9"], "default": "1:1"},
        "seed": {"type": "integer", "minimum": 0},
    },
    "required": ["prompt"],
    "price": {"amount": "0.03", "per": "image", "source": "a list of prices", "as_of": "2026-11-22"},
}
PRICE = SOUND["price"]
INPUTS = SOUND["inputs"]


def test_a_sound_capability() -> None:
    """The one that the next test breaks has nothing wrong with it."""
    assert problems(SOUND) == []


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"colour": "red"}, "colour\n  Extra inputs"),
        ({"names": {"prompt": "prompt", "colour": "seed"}}, "no common options"),
        ({"names": {"prompt": "prompt", "n": "number"}}, "'number', which is no input"),
        ({"required": ["prompt", "image"]}, "required names 'image'"),
        ({"defaults": {"speed": 1}}, "defaults names 'speed'"),
        ({"defaults": {"shape": "4:3"}}, "'4:3' is not what it takes"),
        ({"inputs": {**INPUTS, "shape": {"enum": ["1:1"], "default": "16:9"}}}, "'16:9' is not what it takes"),
        ({"inputs": {**INPUTS, "seed": {"type": "integer", "minimum": 1, "default": 0}}}, "0 is not what it takes"),
        ({"inputs": {**INPUTS, "seed": {"type": "integer", "default": "7"}}}, "'7' is not what it takes"),
        ({"inputs": {**INPUTS, "shape": {"enum": ["1:1", "1:1"]}}}, "twice"),
        ({"sizes": {"4:3": {"width": 640, "height": 480}}}, "sizes has '4:3'"),
        ({"frames": {"name": "frames", "default": 9, "default_fps": 8, "maximum": 9}}, "frames names 'frames'"),
        ({"price": {**PRICE, "source": ""}}, "no source"),
        ({"price": {**PRICE, "as_of": "November 2026"}}, "no ISO date"),
        ({"price": {**PRICE, "as_of": "2023-12-31"}}, "too old"),
        ({"price": {**PRICE, "amount": "0"}}, "above 0"),
    ],
)
def test_what_is_wrong_is_found(broken: dict[str, Any], words: str) -> None:
    """Each check can fail."""
    assert words in "\n".join(problems({**SOUND, **broken}))


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"capabilities": [SOUND, {**SOUND, "model": "ONE"}]}, "listed twice"),
        ({"source": ""}, "where it is from"),
        ({"retired": {"One": "one"}}, "retired and offered"),
        ({"retired": {"old": "new"}}, "not built in"),
        ({"retired": {"old": "older", "older": "one"}}, "gone itself"),
        ({"retired": {"old": {"on": "soon", "successors": ["one"]}}}, "no ISO date"),
        ({"retired": {"one": {"on": "2026-12-01", "successors": ["other:new"]}}}, "not built in"),
        ({"successors": {"old": ["one", "new"]}}, "not built in"),
    ],
)
def test_what_is_wrong_with_a_file_is_found(broken: dict[str, Any], words: str) -> None:
    """Each check can fail."""
    sound = {"source": "a list of models of November 2026", "capabilities": [SOUND]}
    retired = {"old": "one", "older": {"on": "2026-12-01", "successors": ["other:two"]}}
    assert table_problems("acme", {**sound, "retired": retired}, {"other": {"two"}}) == []
    assert words in "\n".join(table_problems("acme", {**sound, **broken}, {"other": {"two"}}))
