"""What a model can do, as data: what it takes, its limits and its price. Models die in months, so none of this is code."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from pydantic import Field, JsonValue

from aifs_media._record import Kind, Record, Size

if TYPE_CHECKING:
    from collections.abc import Mapping

PriceUnit = Literal["image", "megapixel", "video", "video_second", "gpu_second"]


class Price(Record):
    """What a model costs, as published: `amount` per `per`, with the source of the figure and its date.

    A megapixel is 1024 x 1024 pixels, and each image is rounded up to whole ones. `only_with` are the model's own inputs and
    their values where the price holds for these alone, for example a resolution.
    """

    amount: Decimal
    currency: str = "USD"
    per: PriceUnit
    source: str
    as_of: str
    only_with: dict[str, JsonValue] = Field(default_factory=dict)


class Frames(Record):
    """How a model counts frames instead of seconds."""

    name: str
    default: int
    default_fps: float
    maximum: int
    fps_name: str | None = None
    step: int = 1
    offset: int = 0


class SizeLimits(Record):
    """Which sizes a model takes, in pixels, where its schema only says that a size is a text.

    Attributes:
        multiple: width and height are multiples of it.
        maximum_side: the longest that a side may be.
        maximum_ratio: how many times longer than the other a side may be.
        maximum_pixels: the most pixels of one output.
        pixels_together: the most pixels of all outputs of one create, where they come inside its answer.
    """

    multiple: int = 1
    maximum_side: int | None = None
    maximum_ratio: float | None = None
    maximum_pixels: int | None = None
    pixels_together: int | None = None


class Need(Record):
    """Two own inputs that go together: where `name` is `value` (None: whatever it is), `other` must be one of `values`."""

    name: str
    value: JsonValue = None
    other: str
    values: tuple[JsonValue, ...]


class Capability(Record):
    """One thing a provider can do: a kind of media with a model, what the model takes, its limits and its price.

    Attributes:
        names: common option -> the model's own input name. A common option that is not listed is not supported. The keys are
            prompt, n, width, height, size, aspect_ratio, seed, duration, fps, image, negative_prompt, output_format.
        inputs: the model's own inputs as JSON schema properties; None where they are not known.
        required: own inputs that must be given.
        defaults: own inputs that are always sent unless the caller says otherwise.
        custom_size: own inputs that go along with a width and height, for example an aspect ratio "custom".
        sizes: aspect ratio -> true size, for models that take no width and height; where a size can be named, the size to ask for.
        size_limits: which sizes the model takes, where the schema does not list them.
        needs: own inputs that go with certain values of others only.
        frames: set where the model counts frames.
        maximum_duration: seconds; None where the schema says it.
        maximum_outputs: how many outputs one create can make.
        price: the published price; None where none is.
        timeout: seconds that callers should usually wait; None for the kind's default.
        typical_seconds: how long the model usually takes; None where nobody measured.
        hold_seconds: how long the create may be held open for the result; 0 never.
        lifetime_limit: seconds after which the provider ends the job by itself.
        find_window: seconds for which a lost create can be found by listing; 0 where it cannot.
        find_lag: seconds by which that list may lag.
        note: one sentence that a person choosing a model should know.
    """

    kind: Kind
    model: str
    names: dict[str, str] = Field(default_factory=lambda: {"prompt": "prompt"})
    inputs: dict[str, dict[str, JsonValue]] | None = None
    required: tuple[str, ...] = ()
    defaults: dict[str, JsonValue] = Field(default_factory=dict)
    custom_size: dict[str, JsonValue] = Field(default_factory=dict)
    sizes: dict[str, Size] = Field(default_factory=dict)
    size_limits: SizeLimits | None = None
    needs: tuple[Need, ...] = ()
    frames: Frames | None = None
    maximum_duration: float | None = None
    maximum_outputs: int = 1
    price: Price | None = None
    timeout: float | None = None
    typical_seconds: float | None = None
    hold_seconds: float = 0
    lifetime_limit: float = 1800
    find_window: float = 0
    find_lag: float = 0
    note: str = ""

    def price_for(self, inputs: Mapping[str, JsonValue]) -> Price | None:
        """Return the published price of a job with these of the model's own inputs, or None where another one holds."""
        price = self.price
        held = price is not None and all(inputs.get(name) == value for name, value in price.only_with.items())
        return price if held else None
