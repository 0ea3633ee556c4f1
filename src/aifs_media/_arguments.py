"""The options of a call, checked before anything is recorded, sent or paid: their names, and values that no model takes. Pure.

A model's schema says what the model takes, and many models have none; Python takes any keyword where the caller's code is not
type-checked. What is wrong for every model is refused here, once for all calls.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, cast, get_args

from aifs_media._values import (
    LARGEST,
    SMALLEST,
    as_flag,
    as_one_of,
    as_rate,
    as_ratio,
    as_seconds,
    as_seed,
    as_size,
    as_text,
    guess_at,
    refused,
)
from aifs_media.call_options import ImageOptions, VideoOptions
from aifs_media.errors import UnsupportedOptionError
from aifs_media.records import Asset, InputFile, OnCancel, OnUnknown

if TYPE_CHECKING:
    from pydantic import JsonValue

    from aifs_media.records import Kind

DEEPEST = 100
"""Levels of a nested option; what is nested in itself would never end."""


def checked_options(kind: Kind, options: Mapping[str, object]) -> VideoOptions:
    """Return the options that were given, None meaning that one was not.

    Raises:
        UnsupportedOptionError: one does not exist, or no model takes its value.
    """
    given = {name: value for name, value in options.items() if value is not None}
    names = ImageOptions.__optional_keys__ if kind == "image" else VideoOptions.__optional_keys__
    for name in options:
        if name not in VideoOptions.__optional_keys__ or (name in given and name not in names):
            raise _unknown(kind, name, names)
    return cast("VideoOptions", {name: _CHECKS[name](name, value) for name, value in given.items()})


def _unknown(kind: Kind, name: str, names: frozenset[str]) -> UnsupportedOptionError:
    if name == "n":
        several = "images(prompt, n=...) makes several." if kind == "image" else "One call makes one video."
        return UnsupportedOptionError("The option 'n' is not taken here.", option=name, hint=several)
    guess = "" if name in VideoOptions.__optional_keys__ else guess_at(name, names)
    return UnsupportedOptionError(
        f"There is no option {name!r} for {'an image' if kind == 'image' else 'a video'}.{guess}",
        option=name,
        hint=f"There are: {', '.join(sorted(names))}. What is a model's own goes into options={{...}}.",
    )


def _as_on_cancel(name: str, value: object) -> str:
    return as_one_of(get_args(OnCancel), name, value)


def _as_on_unknown(name: str, value: object) -> str:
    return as_one_of(get_args(OnUnknown), name, value)


def _as_image(name: str, value: object) -> object:
    if isinstance(value, str | os.PathLike):
        as_text(name, os.fspath(cast("str | os.PathLike[str]", value)))
    elif not isinstance(value, bytes | Asset | InputFile):
        raise refused(name, value, "an https URL, a path, bytes or an earlier asset")
    return cast("object", value)


def _as_models(name: str, value: object) -> object:
    # A text is a sequence too; what was meant is said where the models are read.
    if not isinstance(value, Sequence):
        raise refused(name, value, "a list of models")
    for number, model in enumerate(cast("Sequence[object]", value)):
        if model is not None:
            as_text(f"{name}[{number}]", model)
    return cast("object", value)


def as_tags(name: str, value: object) -> dict[str, str]:
    """Return names and texts. Raises UnsupportedOptionError."""
    if not isinstance(value, Mapping):
        raise refused(name, value, "a mapping of names to texts")
    tags = cast("Mapping[object, object]", value)
    return {as_text(f"{name}[...]", key): as_text(f"{name}[{key!r}]", text) for key, text in tags.items()}


def _as_own_options(name: str, value: object) -> dict[str, JsonValue]:
    if not isinstance(value, Mapping):
        raise refused(name, value, "a mapping of the model's own options")
    return _as_object(name, cast("Mapping[object, object]", value), 0)


def _as_object(name: str, value: Mapping[object, object], depth: int) -> dict[str, JsonValue]:
    return {as_text(f"{name}[...]", key): _as_json(f"{name}[{key!r}]", item, depth) for key, item in value.items()}


def _as_json(name: str, value: object, depth: int) -> JsonValue:
    """Return a value as JSON has it: NaN, infinities and lone surrogates have no place there."""
    if depth > DEEPEST:
        raise UnsupportedOptionError(
            f"The options are nested more than {DEEPEST} levels deep.", option="options", hint="Give a flatter value."
        )
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return as_text(name, value)
    if isinstance(value, int) and SMALLEST <= value <= LARGEST:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, list | tuple):
        items = cast("Sequence[object]", value)
        return [_as_json(f"{name}[{number}]", item, depth + 1) for number, item in enumerate(items)]
    if isinstance(value, Mapping):
        return _as_object(name, cast("Mapping[object, object]", value), depth + 1)
    raise refused(name, value, "what JSON can hold: text, a finite number, true, false, a list or an object")


_CHECKS: dict[str, Callable[[str, object], object]] = {
    "model": as_text,
    "models": _as_models,
    "seed": as_seed,
    "image": _as_image,
    "negative_prompt": as_text,
    "options": _as_own_options,
    "check_options": as_flag,
    "tags": as_tags,
    "timeout": as_seconds,
    "on_cancel": _as_on_cancel,
    "on_unknown": _as_on_unknown,
    "notify_url": as_text,
    "job_id": as_text,
    "namespace": as_text,
    "size": as_size,
    "aspect_ratio": as_ratio,
    "output_format": as_text,
    "duration": as_seconds,
    "fps": as_rate,
}
