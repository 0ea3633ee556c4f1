"""From what the caller wants to what the model takes, or a clear refusal before anything is paid. Pure.

`model_inputs` turns the common options and the provider-specific ones of a request into the model's own inputs, by the
capability's table of names and its input schema. Providers drop unknown inputs without a word and bill all the same, so
whatever is not known to be taken is refused here.
"""

from __future__ import annotations

import difflib
import math
from typing import TYPE_CHECKING, NamedTuple

from aifs_media._limits import broken_count, broken_need, broken_size, parsed_size
from aifs_media._values import parsed_ratio
from aifs_media.errors import UnsupportedOptionError
from aifs_media.records import Size

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import JsonValue

    from aifs_media.records import Capability, Frames, MediaRequest

Schema = dict[str, "JsonValue"]

DURATION_TOLERANCE = 0.05
"""Seconds by which a measured duration may differ from the expected one without a warning."""


MOST_FRAMES = 1e12
"""More than any model makes, and few enough to be rounded: two finite numbers may have an infinite product."""


class ModelInputs(NamedTuple):
    """What the model will be sent, and what is expected to come out."""

    values: dict[str, JsonValue]
    warnings: tuple[str, ...]
    size: Size | None
    duration: float | None
    fps: float | None


def model_name(capability: Capability, provider: str) -> str:
    """Return `provider:model`."""
    return f"{provider}:{capability.model}"


def model_inputs(request: MediaRequest, capability: Capability, *, check: bool = True) -> ModelInputs:
    """Return the model's own inputs for a request.

    Args:
        request: with provider and model filled in. A start frame is put in later, when it is prepared.
        capability: what the model takes.
        check: False sends the caller's provider-specific options as they are; common options are checked all the same.

    Raises:
        UnsupportedOptionError: the model does not take an option or not that value.
    """
    return _Inputs(request, capability, check=check).build()


def alternatives(
    error: UnsupportedOptionError, request: MediaRequest, known: Iterable[tuple[str, Capability]]
) -> list[str]:
    """Return models that could do what the refused option asks, as `provider:model`, at most five, the same provider's first."""
    if error.option not in {
        "n",
        "size",
        "aspect_ratio",
        "seed",
        "duration",
        "fps",
        "image",
        "negative_prompt",
        "output_format",
    }:
        return []
    fields = {error.option: getattr(request, error.option)}
    found: list[str] = []
    for provider, capability in known:
        if capability.kind != request.kind or (provider, capability.model) == (request.provider, request.model):
            continue
        bare = request.model_copy(
            update={
                "n": 1, "size": None, "aspect_ratio": None, "seed": None, "duration": None, "fps": None, "image": None,
                "negative_prompt": None, "output_format": None, "options": {}, "provider": provider, "model": capability.model,
                **fields,
            }
        )  # fmt: skip
        try:
            model_inputs(bare, capability, check=False)
        except UnsupportedOptionError:
            continue
        found.append(f"{provider}:{capability.model}")
    return sorted(found, key=lambda name: not name.startswith(f"{request.provider}:"))[:5]


class _Inputs:
    def __init__(self, request: MediaRequest, capability: Capability, *, check: bool) -> None:
        self.request = request
        self.capability = capability
        self.check = check
        self.schemas = capability.inputs
        self.values: dict[str, JsonValue] = dict(capability.defaults)
        self.warnings: list[str] = []
        self.size: Size | None = None
        self.duration: float | None = None
        self.fps: float | None = None
        self.model = f"{request.provider}:{request.model}"

    def build(self) -> ModelInputs:
        request = self.request
        self.put("prompt", request.prompt)
        if request.n > 1:
            self.put_count()
        self.put_size()
        if request.seed is not None:
            self.put("seed", request.seed)
        if self.capability.frames is not None:
            self.put_frames(self.capability.frames)
        else:
            self.put_duration()
        if request.negative_prompt is not None:
            self.put("negative_prompt", request.negative_prompt)
        if request.output_format is not None:
            self.put_format(request.output_format)
        if request.image is not None:
            self.own_name("image", "a start image")
        self.put_options()
        self.check_required()
        self.check_limits()
        return ModelInputs(self.values, tuple(self.warnings), self.size, self.duration, self.fps)

    # -- one option each -----------------------------------------------------------------------------------------------

    def own_name(self, option: str, value: object) -> str:
        """Return the model's name of a common option, or refuse it."""
        name = self.capability.names.get(option)
        if name is None:
            raise self.refusal(option, f"{self.model!r} does not take {option} ({value!r} was asked for).")
        return name

    def put(self, option: str, value: JsonValue) -> None:
        name = self.own_name(option, value)
        self.values[name] = self.fit(option, name, value)

    def put_count(self) -> None:
        maximum = self.capability.maximum_outputs
        if self.request.n > maximum or "n" not in self.capability.names:
            raise self.refusal(
                "n", f"{self.model!r} makes at most {maximum} output(s) in one job, not {self.request.n}."
            )
        self.put("n", self.request.n)

    def put_size(self) -> None:
        size, ratio, names = self.request.size, self.request.aspect_ratio, self.capability.names
        if size is not None and ratio is not None:
            raise self.refusal("aspect_ratio", "size and aspect_ratio were both given.", hint="Give one of them.")
        if ratio is not None:
            self.put_ratio(ratio)
        elif size is not None:
            if "width" in names and "height" in names:
                self.put("width", size.width)
                self.put("height", size.height)
                self.values.update(self.capability.custom_size)
                self.size = size
            elif "size" in names:
                self.put("size", self.spelled_size(size))
                self.size = size
            elif "aspect_ratio" in names:
                self.put_nearest_ratio(size)
            else:
                raise self.refusal("size", f"{self.model!r} does not take a size ({str(size)!r} was asked for).")
        else:
            self.size = self.default_size()

    def spelled_size(self, size: Size) -> JsonValue:
        """Return a size as the model takes it: as an object with width and height, or as text."""
        kind = self.schema(self.capability.names["size"]).get("type")
        as_object = kind == "object" or (isinstance(kind, list) and "object" in kind)
        return {"width": size.width, "height": size.height} if as_object else str(size)

    def put_ratio(self, ratio: str) -> None:
        if "aspect_ratio" in self.capability.names:
            self.put("aspect_ratio", ratio)
            self.size = self.capability.sizes.get(ratio)
            return
        if "size" in self.capability.names:
            fitting = [text for text in self.allowed(self.capability.names["size"]) if _same_ratio(text, ratio)]
            if fitting:
                self.put("size", fitting[0])
                self.size = Size.parse(fitting[0])
                return
            size = self.capability.sizes.get(ratio)
            if size is not None:
                self.put("size", self.spelled_size(size))
                self.size = size
                return
        hint = "Give size='WIDTHxHEIGHT' instead." if self.capability.names.keys() & {"width", "size"} else ""
        raise self.refusal("aspect_ratio", f"{self.model!r} does not take aspect_ratio {ratio!r}.", hint=hint)

    def put_nearest_ratio(self, size: Size) -> None:
        name = self.capability.names["aspect_ratio"]
        ratios = [text for text in self.allowed(name) if parsed_ratio(text) is not None] or list(self.capability.sizes)
        if not ratios:
            raise self.refusal(
                "size", f"{self.model!r} takes an aspect ratio and does not say which.", hint="Give aspect_ratio."
            )
        wanted = math.log(size.width / size.height)
        nearest = min(ratios, key=lambda text: abs(math.log(parsed_ratio(text) or 1.0) - wanted))
        self.values[name] = nearest
        self.size = self.capability.sizes.get(nearest)
        if self.size is None:
            self.warnings.append(
                f"{self.model} takes no size: asked for aspect ratio {nearest}, the nearest to {size}."
            )
        elif self.size != size:
            self.warnings.append(f"{self.model} takes no size: {size} becomes {self.size} (aspect ratio {nearest}).")

    def default_size(self) -> Size | None:
        names = self.capability.names
        if "aspect_ratio" in names:
            ratio = self.values.get(names["aspect_ratio"], self.schema_default(names["aspect_ratio"]))
            return self.capability.sizes.get(str(ratio))
        if "size" in names:
            name = names["size"]
            return parsed_size(self.values.get(name, self.schema_default(name)))
        return None

    def put_duration(self) -> None:
        duration, fps = self.request.duration, self.request.fps
        if duration is not None:
            maximum = self.capability.maximum_duration
            if maximum is not None and duration > maximum:
                raise self.refusal("duration", f"{self.model!r} makes at most {maximum:g} s, not {duration:g} s.")
            self.put("duration", _whole(duration))
            self.duration = duration
        elif (name := self.capability.names.get("duration")) is not None:
            value = self.values.get(name, self.schema_default(name))
            self.duration = _seconds(value)
        if fps is not None:
            self.put("fps", _whole(fps))
            self.fps = fps

    def put_frames(self, frames: Frames) -> None:
        duration, fps = self.request.duration, self.request.fps
        rate = fps if fps is not None else frames.default_fps
        if fps is not None and frames.fps_name is not None:
            self.values[frames.fps_name] = self.fit("fps", frames.fps_name, _whole(fps))
        elif fps is not None:
            raise self.refusal("fps", f"{self.model!r} does not take fps ({fps:g} was asked for).")
        if duration is None:
            number = frames.default
            self.warnings.append(
                f"{self.model} counts frames: without a duration it makes {number} frames at {rate:g} fps ({number / rate:g} s)."
            )
        else:
            asked = min(duration * rate, MOST_FRAMES)
            number = round((asked - frames.offset) / frames.step) * frames.step + frames.offset
            least = self.schema(frames.name).get("minimum")
            fewest = least if isinstance(least, int) else 1
            if not fewest <= number <= frames.maximum:
                few = number < fewest
                bound = fewest if few else frames.maximum
                raise self.refusal(
                    "duration",
                    f"{self.model!r} makes at {'least' if few else 'most'} {bound} frames, "
                    f"and {duration:g} s at {rate:g} fps are {number}.",
                    hint=f"Ask for at {'least' if few else 'most'} {bound / rate:g} s, or {'more' if few else 'fewer'} fps.",
                )
        self.values[frames.name] = self.fit("duration", frames.name, number)
        self.duration, self.fps = number / rate, rate

    def put_format(self, wanted: str) -> None:
        name = self.own_name("output_format", wanted)
        allowed = self.allowed(name)
        aliases = {"jpeg": "jpg", "jpg": "jpeg"}
        value = wanted.lower()
        if allowed and value not in allowed and aliases.get(value) in allowed:
            value = aliases[value]
        self.values[name] = self.fit("output_format", name, value)

    def put_options(self) -> None:
        # The start image gets its value later, when it is prepared.
        taken = {
            own: common
            for common, own in self.capability.names.items()
            if (own in self.values or common == "image") and self.asked(common)
        }
        for name, value in self.request.options.items():
            if name in taken:
                raise self.refusal(
                    name,
                    f"options[{name!r}] and {taken[name]}= say the same thing twice.",
                    hint=f"Leave out options[{name!r}].",
                )
            if self.schemas is not None and name not in self.schemas and self.check:
                raise self.unknown(name)
            if self.schemas is None and self.check:
                raise self.refusal(
                    name, f"What {self.model!r} takes is not known, so options[{name!r}] cannot be checked.",
                    hint="Pass check_options=False to send it all the same.",
                )  # fmt: skip
            self.values[name] = self.fit(name, name, value) if self.check else value

    def asked(self, common: str) -> bool:
        if common == "n":
            return self.request.n > 1
        if common in {"width", "height"}:
            return self.request.size is not None
        return getattr(self.request, common, None) is not None

    def check_required(self) -> None:
        given = {*self.values, *([self.capability.names["image"]] if self.request.image is not None else [])}
        for name in self.capability.required:
            if name not in given and self.check:
                common = next((key for key, own in self.capability.names.items() if own == name), None)
                where = f"{common}=" if common else f"options={{{name!r}: ...}}"
                raise self.refusal(common or name, f"{self.model!r} needs {name!r}.", hint=f"Give {where}.")

    def check_limits(self) -> None:
        """Refuse what no schema of one input can say."""
        of_sizes = (broken_size, broken_count) if self.check or self.size is not None else ()
        for limit in (*of_sizes, *((broken_need,) if self.check else ())):
            broken = limit(self.capability, self.values)
            if broken is not None:
                raise self.refusal(broken.name, f"{self.model!r} {broken.reason}.", hint=broken.hint)

    # -- values and schemas --------------------------------------------------------------------------------------------

    def schema(self, name: str) -> Schema:
        return (self.schemas or {}).get(name, {})

    def schema_default(self, name: str) -> JsonValue:
        return self.schema(name).get("default")

    def allowed(self, name: str) -> list[str]:
        members = self.schema(name).get("enum")
        return [str(member) for member in members] if isinstance(members, list) else []

    def fit(self, option: str, name: str, value: JsonValue) -> JsonValue:
        """Return the value in the type and spelling the schema wants, or refuse it."""
        schema = self.schema(name)
        members = schema.get("enum")
        if isinstance(members, list):
            for member in members:
                if member == value or _spelled_alike(member, value):
                    return member
            raise self.refusal(
                option,
                f"{self.model!r} does not take {option}={value!r}.",
                hint=f"It takes: {', '.join(map(str, members))}.",
            )
        fitted = _as_type(value, schema.get("type"))
        if fitted is None and value is not None:
            raise self.refusal(
                option, f"{option}={value!r} is not of the type {schema.get('type')!r} that {self.model!r} takes."
            )
        self.check_range(option, fitted, schema)
        return fitted

    def check_range(self, option: str, value: JsonValue, schema: Mapping[str, JsonValue]) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return
        low, high = schema.get("minimum"), schema.get("maximum")
        if (isinstance(low, int | float) and value < low) or (isinstance(high, int | float) and value > high):
            bounds = (
                f"from {low} to {high}"
                if low is not None and high is not None
                else f"at {'least' if high is None else 'most'} {low if high is None else high}"
            )
            raise self.refusal(option, f"{self.model!r} does not take {option}={value!r}.", hint=f"It takes {bounds}.")
        step = schema.get("multipleOf")
        if isinstance(step, int | float) and step and value % step:
            raise self.refusal(
                option, f"{self.model!r} does not take {option}={value!r}.", hint=f"It takes multiples of {step}."
            )

    def refusal(self, option: str, message: str, *, hint: str = "") -> UnsupportedOptionError:
        return UnsupportedOptionError(
            message, option=option, model=self.model, hint=hint, provider=self.request.provider
        )

    def unknown(self, name: str) -> UnsupportedOptionError:
        own = sorted(self.schemas or {})
        close = difflib.get_close_matches(name, own, n=1)
        guess = f" Did you mean {close[0]!r}?" if close else ""
        return self.refusal(name, f"{self.model!r} has no option {name!r}.{guess}", hint=f"It has: {', '.join(own)}.")


def _same_ratio(size: str, ratio: str) -> bool:
    wanted, parsed = parsed_ratio(ratio), parsed_size(size)
    return wanted is not None and parsed is not None and abs(math.log(parsed.width / parsed.height / wanted)) < 0.02


def _whole(number: float) -> int | float:
    return int(number) if float(number).is_integer() else number


def _seconds(value: JsonValue) -> float | None:
    try:
        return float(str(value).removesuffix("s"))
    except ValueError:
        return None


def _spelled_alike(member: JsonValue, value: JsonValue) -> bool:
    """Say whether 8, "8" and "8s", or "1024x1024", "1024*1024" and "1024:1024", mean the same."""
    if isinstance(member, bool) or isinstance(value, bool):
        return False
    plain, spelled = (str(text).lower().replace("*", "x") for text in (value, member))
    sizes = parsed_size(spelled), parsed_size(plain)
    return (
        spelled == plain
        or (None not in sizes and "x" in plain and sizes[0] == sizes[1])
        or (isinstance(value, int | float) and spelled.removesuffix("s") == plain)
    )


def _as_type(value: JsonValue, wanted: JsonValue) -> JsonValue:
    """Return the value as the JSON type, without losing anything; None where it is of another type."""
    match wanted:
        case "string":
            return (
                value
                if isinstance(value, str)
                else str(value)
                if isinstance(value, int | float) and not isinstance(value, bool)
                else None
            )
        case "integer":
            if isinstance(value, bool):
                return None
            return int(value) if isinstance(value, int) or (isinstance(value, float) and value.is_integer()) else None
        case "number":
            return None if isinstance(value, bool) or not isinstance(value, int | float) else value
        case "boolean":
            return value if isinstance(value, bool) else None
        case "array":
            return value if isinstance(value, list) else None
        case "object":
            return value if isinstance(value, dict) else None
        case _:
            return value
