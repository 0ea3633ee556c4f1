"""What all records have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from aifs_media._secrets import shown

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

_MAY_HOLD_URLS = frozenset({"ref", "inputs", "options"})
"""Fields of JSON that is not our own: a provider's handle, and what a model is given, may be or hold signed URLs."""

Kind = Literal["image", "video"]


class Record(BaseModel):
    """The base of all records: frozen, strict about unknown fields, silent about values in validation errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, protected_namespaces=())

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, shown(value) if name in _MAY_HOLD_URLS else value


class Size(Record):
    """Width and height in pixels."""

    width: int = Field(gt=0)
    height: int = Field(gt=0)

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "1024x768" (also with "*" or ":"). Raises ValueError."""
        width, separator, height = text.lower().replace("*", "x").replace(":", "x").partition("x")
        try:
            sides = (int(width), int(height)) if width.strip().isdecimal() and height.strip().isdecimal() else (0, 0)
        except ValueError:
            # Thousands of digits, which int() does not read.
            sides = (0, 0)
        if not separator or min(sides) < 1:
            message = f"{text!r} is not a size. Write width x height in pixels, for example '1024x1024'."
            raise ValueError(message)
        return cls(width=sides[0], height=sides[1])
