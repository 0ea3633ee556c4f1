"""The models the emulated Replicate knows, and its check of their inputs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Literal, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

# Bounds of a JSON schema, the error type Replicate's validator gives them, and its sentence.
_BOUNDS = (
    ("minimum", "number_gte", "Must be greater than or equal to {}"),
    ("maximum", "number_lte", "Must be less than or equal to {}"),
)
# In this order, for a boolean is an int to Python.
_JSON_TYPES: tuple[tuple[type, str], ...] = (
    (type(None), "null"),
    (bool, "boolean"),
    (int, "integer"),
    (float, "number"),
    (str, "string"),
    (list, "array"),
    (object, "object"),
)


@dataclass(frozen=True)
class Price:
    """USD for one `per`: an image, a video, a second of video, or a second of GPU time."""

    per: Literal["image", "video", "video_second", "gpu_second"]
    usd: float


@dataclass(frozen=True)
class ReplicateModel:
    """One model. Official ones are called by name; the others need a version."""

    owner: str
    name: str
    official: bool
    kind: Literal["image", "video"]
    price: Price
    version: str | None
    created_at: str
    cog_version: str
    schemas: Mapping[str, object]

    @property
    def full_name(self) -> str:
        """Return `owner/name`."""
        return f"{self.owner}/{self.name}"

    @property
    def properties(self) -> dict[str, dict[str, object]]:
        """Return the inputs' schemas by name, references resolved."""
        raw = cast("dict[str, dict[str, object]]", self._input_schema["properties"])
        return {name: self._resolved(schema) for name, schema in raw.items()}

    @property
    def many_outputs(self) -> bool:
        """Return whether the output is a list of URLs rather than one URL."""
        return cast("dict[str, object]", self.schemas["Output"])["type"] == "array"

    def value(self, values: Mapping[str, object], name: str) -> object:
        """Return an input's value, or the model's default for it."""
        return values.get(name, self.properties.get(name, {}).get("default"))

    def known(self, values: Mapping[str, object]) -> dict[str, object]:
        """Return the inputs without those the model does not have: Replicate drops them silently."""
        return {name: value for name, value in values.items() if name in self.properties}

    def complaints(self, values: Mapping[str, object]) -> list[dict[str, str]]:
        """Return what is wrong with the inputs, as entries of `invalid_fields`."""
        found: list[dict[str, str]] = [
            {"type": "required", "field": "input", "description": f"{name} is required"}
            for name in cast("list[str]", self._input_schema.get("required", []))
            if name not in values
        ]
        for name, schema in self.properties.items():
            # An input whose default is null takes null.
            if name in values and not (values[name] is None and schema.get("default", 0) is None):
                found += _complaints(f"input.{name}", values[name], schema)
        return found

    def to_json(self) -> dict[str, object]:
        """Return the model object of `GET /models/{owner}/{name}`."""
        return {
            "cover_image_url": None,
            "created_at": self.created_at,
            "default_example": None,
            "description": f"{self.name}, emulated",
            "github_url": None,
            "is_official": self.official,
            "latest_version": self.version_json(),
            "license_url": None,
            "name": self.name,
            "owner": self.owner,
            "paper_url": None,
            "run_count": 1,
            "url": f"https://replicate.com/{self.full_name}",
            "visibility": "public",
        }

    def version_json(self) -> dict[str, object]:
        """Return the version object, with the OpenAPI schema of the inputs and the output."""
        return {
            # A model that is called by name only shows a version all the same; creates do not accept it.
            "id": self.version or hashlib.sha256(self.full_name.encode()).hexdigest(),
            "created_at": self.created_at,
            "cog_version": self.cog_version,
            "openapi_schema": {
                "info": {"title": "Cog", "version": "0.1.0"},
                "paths": {},
                "openapi": "3.0.2",
                "components": {"schemas": self.schemas},
            },
        }

    @property
    def _input_schema(self) -> dict[str, object]:
        return cast("dict[str, object]", self.schemas["Input"])

    def _resolved(self, schema: dict[str, object]) -> dict[str, object]:
        merged = dict(schema)
        for part in cast("list[dict[str, str]]", schema.get("allOf", [])):
            target = part["$ref"].rpartition("/")[2]
            merged = {**cast("dict[str, object]", self.schemas[target]), **merged}
        return merged


@cache
def catalogue() -> tuple[ReplicateModel, ...]:
    """Return all models the emulator knows."""
    text = files(__package__ or "").joinpath("data/replicate_models.json").read_text(encoding="utf-8")
    entries = cast("list[dict[str, object]]", json.loads(text)["models"])
    models: list[ReplicateModel] = []
    for entry in entries:
        members = {name: value for name, value in entry.items() if name != "origin"}
        members["price"] = Price(**cast("dict[str, object]", members["price"]))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        models.append(ReplicateModel(**members))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    return tuple(models)


def by_name(owner: str, name: str) -> ReplicateModel | None:
    """Return the model of this owner and name."""
    return next((model for model in catalogue() if (model.owner, model.name) == (owner, name)), None)


def by_version(text: str) -> tuple[ReplicateModel, str] | None:
    """Find what `version` of a create names.

    Args:
        text: `owner/name` (official models only), `owner/name:version` or a bare version.

    Returns:
        The model and the version its prediction shows, or None if there is no such version.
    """
    name, colon, version = text.partition(":")
    if "/" in name:
        model = by_name(*name.split("/", maxsplit=1))
        if model is None:
            return None
        if colon:
            return (model, version) if version == model.version else None
        return (model, "hidden") if model.official else None
    return next(((model, text) for model in catalogue() if model.version == text), None)


def _complaints(field: str, value: object, schema: Mapping[str, object]) -> list[dict[str, str]]:
    expected = str(schema.get("type", "string"))
    if not _is_of_type(value, expected):
        description = f"Invalid type. Expected: {expected}, given: {_json_type(value)}"
        return [{"type": "invalid_type", "field": field, "description": description}]
    choices = cast("list[object] | None", schema.get("enum"))
    if choices is not None and value not in choices:
        listed = ", ".join(json.dumps(choice) for choice in choices)
        description = f"{field} must be one of the following: {listed}"
        return [{"type": "enum", "field": field, "description": description}]
    found: list[dict[str, str]] = []
    for key, kind, sentence in _BOUNDS:
        bound = schema.get(key)
        if isinstance(bound, (int, float)) and isinstance(value, (int, float)):
            beyond = value < bound if key == "minimum" else value > bound
            if beyond:
                found.append({"type": kind, "field": field, "description": sentence.format(bound)})
    return found


def _is_of_type(value: object, expected: str) -> bool:
    given = _json_type(value)
    if expected == "number":
        return given in {"number", "integer"}
    if expected == "integer" and isinstance(value, float):
        return value.is_integer()
    return given == expected


def _json_type(value: object) -> str:
    return next(name for kind, name in _JSON_TYPES if isinstance(value, kind))
