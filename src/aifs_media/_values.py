"""One value at a time: text, numbers, sizes and shapes as a call was given them, or a refusal that says what is taken. Pure."""

from __future__ import annotations

import difflib
import math
import operator
import reprlib
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, SupportsFloat, SupportsIndex, cast, get_args

from aifs_media.errors import RequestRejectedError, UnsupportedOptionError
from aifs_media.records import Kind, Script, Size, Stage

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

SMALLEST, LARGEST = -(2**63), 2**64 - 1
"""Whole numbers beyond 64 bits are taken by nobody, and not every reader of JSON reads them."""


def refused(name: str, value: object, takes: str, *, guess: str = "") -> UnsupportedOptionError:
    """Return the error of a value that no model takes. `takes` ends the sentence "Give ..."."""
    option = name.partition("[")[0]
    return UnsupportedOptionError(
        f"{name}={_shown(value)} cannot be used.{guess}", option=option, hint=f"Give {takes}."
    )


def guess_at(word: str, known: Collection[str]) -> str:
    """Return the sentence that guesses at what was meant, after a space; empty where nothing is near."""
    close = difflib.get_close_matches(word, sorted(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def _shown(value: object) -> str:
    try:
        return reprlib.repr(value)
    except ValueError:
        # An integer of thousands of digits cannot be written out.
        return f"<{type(value).__name__}>"


# -- text and choices --------------------------------------------------------------------------------------------------


def as_prompt(prompt: object, *, name: str = "prompt", made: str = "made") -> str:
    """Return the prompt as text. Raises RequestRejectedError."""
    words = as_text(name, str(prompt) if isinstance(prompt, Script) else prompt)
    if not words.strip():
        raise RequestRejectedError(f"The {name} is empty.", hint=f"Say what should be {made}.")
    return words


def as_text(name: str, value: object) -> str:
    """Return text that can be recorded and sent. Raises UnsupportedOptionError."""
    if not isinstance(value, str):
        raise refused(name, value, "text")
    try:
        value.encode()
    except UnicodeEncodeError:
        # Not repeated: whoever prints the error could not encode it either.
        raise UnsupportedOptionError(
            f"{name} is not valid Unicode text.", option=name.partition("[")[0], hint="Remove the lone surrogates."
        ) from None
    # Of a subclass, such as a member of an enumeration, the text itself: others would write it by another name.
    return str.__str__(value)


def as_kind(kind: object) -> Kind:
    """Return what is to be made. Raises UnsupportedOptionError."""
    return cast("Kind", as_one_of(get_args(Kind), "kind", kind))


def as_stage(stage: object) -> Stage:
    """Return a stage of a job. Raises UnsupportedOptionError."""
    return cast("Stage", as_one_of(get_args(Stage), "stages", stage))


def as_one_of(choices: Sequence[str], name: str, value: object) -> str:
    """Return one of a few words. Raises UnsupportedOptionError, with a guess at what was meant."""
    if not isinstance(value, str) or value not in choices:
        guess = guess_at(value, choices) if isinstance(value, str) else ""
        raise refused(name, value, " or ".join(map(repr, choices)), guess=guess)
    return str.__str__(value)


def as_flag(name: str, value: object) -> bool:
    """Return True or False. Raises UnsupportedOptionError."""
    if not isinstance(value, bool):
        raise refused(name, value, "True or False")
    return value


# -- numbers -----------------------------------------------------------------------------------------------------------


def as_seconds(name: str, value: object, *, or_zero: str = "") -> float:
    """Return a finite number of seconds above 0. `or_zero` says what 0 means where it is taken. Raises UnsupportedOptionError."""
    takes = "a number of seconds above 0"
    return _as_number(name, value, f"{takes}, or 0 {or_zero}" if or_zero else takes, zero=bool(or_zero))


def as_rate(name: str, value: object) -> float:
    """Return a finite number of frames per second above 0. Raises UnsupportedOptionError."""
    return _as_number(name, value, "a number of frames per second above 0")


def _as_number(name: str, value: object, takes: str, *, zero: bool = False) -> float:
    number = _number(value)
    if not (0 < number < math.inf or (zero and number == 0)):
        raise refused(name, value, takes)
    return number


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, SupportsFloat):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError, TypeError):
        return math.nan


LONGEST_SIDE = 1_000_000
"""Pixels; longer than any model's, and short enough to be reckoned with."""


def as_count(name: str, value: object, *, least: int) -> int:
    """Return a whole number of at least `least`. Raises UnsupportedOptionError."""
    return _as_whole(name, value, least, f"a whole number, at least {least}")


def as_seed(name: str, value: object) -> int:
    """Return a whole number; which ones a model takes is in its schema. Raises UnsupportedOptionError."""
    return _as_whole(name, value, SMALLEST, "a whole number of at most 64 bits")


def _as_whole(name: str, value: object, least: int, takes: str) -> int:
    # Numbers of numpy are whole as well; True is none.
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise refused(name, value, takes)
    number = operator.index(value)
    if not least <= number <= LARGEST:
        raise refused(name, value, takes)
    return number


def as_cost(name: str, value: object) -> Decimal:
    """Return a finite amount of USD, 0 or more. Raises UnsupportedOptionError."""
    try:
        amount = Decimal(str(value))
    except (InvalidOperation, ValueError):
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        raise refused(name, value, "an amount of USD, 0 or more")
    return amount


# -- shapes ------------------------------------------------------------------------------------------------------------


def as_size(name: str, value: object) -> Size:
    """Return a size that was given as text or as one. Raises UnsupportedOptionError."""
    if not isinstance(value, str | Size):
        raise refused(name, value, "width x height in pixels, for example '1024x1024', or a Size")
    try:
        size = value if isinstance(value, Size) else Size.parse(value)
    except ValueError as error:
        raise UnsupportedOptionError(str(error), option=name) from None
    if max(size.width, size.height) > LONGEST_SIDE:
        raise UnsupportedOptionError(f"A side of more than {LONGEST_SIDE} pixels is no size.", option=name)
    return size


def as_ratio(name: str, value: object) -> str:
    """Return an aspect ratio of two numbers above 0, or a word such as "auto", which is the model's own to take or not.

    Raises:
        UnsupportedOptionError: it is neither.
    """
    ratio = as_text(name, value)
    if parsed_ratio(ratio) is None and (":" in ratio or not ratio.strip() or _is_number(ratio)):
        raise refused(name, value, "width:height, two numbers above 0, for example '16:9'")
    return ratio


def parsed_ratio(text: str) -> float | None:
    """Return width by height of a ratio like "16:9"; None for what is none."""
    width, _, height = text.partition(":")
    try:
        sides = float(width), float(height)
        ratio = sides[0] / sides[1]
    except (ValueError, ZeroDivisionError):
        return None
    return ratio if min(sides) > 0 and 0 < ratio < math.inf else None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
