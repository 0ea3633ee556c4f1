"""Faults that a test asks for in advance, one request at a time.

Instead of the work, so that nothing is accepted and nothing billed:
    drop_before         the connection is reset
    hang                no answer, ever
    status              an HTTP status with the provider's recorded body, or the one given
    redirect            302 to `url`, or to the same place
    delay               the answer comes `seconds` of real time later
    not_found_grace     404, as a prediction just created may answer
    expired             the data or the file is gone

After the work, which is in the books:
    drop_after          the connection is reset
    hang_after          no answer, ever
    half_body           half the bytes, then the connection ends
    wrong_length        all the bytes, under a Content-Length that is too large, then the connection ends
    truncated           half the bytes under their own right length
    slow_drip           sixteen pieces, `seconds` of real time apart
    endless             the bytes, and zeros for ever
    encoded             gzip
    duplicate_key       a JSON key twice
    wrong_content_type  `text`, or HTML
    unknown_status      a JSON `status` of `text`, or "hibernating"

In how a generation ends:
    failed              with the error `text`
    moderated           refused for what it would show; at OpenAI `text` "input" refuses the request itself, at fal with the
                        text "nsfw" `count` images come out black
    aborted             ended before it ran
    slow                it takes `seconds` of the emulator's clock
    text_only           `text` where media should be
    null_output         nothing
    empty_output        an empty list, or no content
    partial_output      no more than `count` files
    data_uri            the files themselves instead of links; `text` replaces their media type
    foreign_output      a link to `url`
    big_output          a link to a film of `size` bytes; at OpenAI, pictures of that size

Elsewhere:
    lag                 the list does not show what was created in the last `seconds` of the emulator's clock
    duplicate           a webhook comes twice
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Literal, cast, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping

Route = Literal[
    "replicate.create",
    "replicate.get",
    "replicate.cancel",
    "replicate.list",
    "replicate.model",
    "replicate.account",
    "replicate.files",
    "replicate.secret",
    "replicate.webhook",
    "poe.chat",
    "poe.images",
    "poe.videos.create",
    "poe.videos.get",
    "poe.videos.content",
    "poe.models",
    "poe.balance",
    "poe.history",
    "runway.create",
    "runway.get",
    "runway.cancel",
    "runway.organization",
    "runway.upload",
    "stability.generate",
    "stability.balance",
    "openai.create",
    "openai.edit",
    "openai.models",
    "compatible.create",
    "compatible.models",
    "fal.create",
    "fal.status",
    "fal.result",
    "fal.cancel",
    "fal.keys",
    "fal.webhook",
    "delivery.get",
    "delivery.upload",
]

# Instead of the real work: nothing is accepted, nothing is billed.
Before = Literal["drop_before", "hang", "status", "redirect", "delay", "not_found_grace", "expired"]
# The work is done and in the books; the answer does not arrive as it should.
After = Literal[
    "drop_after",
    "hang_after",
    "half_body",
    "wrong_length",
    "truncated",
    "slow_drip",
    "endless",
    "encoded",
    "duplicate_key",
    "wrong_content_type",
    "unknown_status",
]
# The generation itself ends differently.
Outcome = Literal[
    "failed",
    "moderated",
    "aborted",
    "slow",
    "text_only",
    "null_output",
    "empty_output",
    "partial_output",
    "data_uri",
    "foreign_output",
    "big_output",
    "duplicate",
    "lag",
]
Kind = Literal[Before, After, Outcome]

BEFORE: frozenset[str] = frozenset(get_args(Before))
AFTER: frozenset[str] = frozenset(get_args(After))
_ROUTES: frozenset[str] = frozenset(get_args(Route))
_KINDS: frozenset[str] = BEFORE | AFTER | frozenset(get_args(Outcome))
_IMAGES = frozenset({"openai.create", "openai.edit", "compatible.create"})
_CREATES = _IMAGES | {
    "replicate.create",
    "poe.chat",
    "poe.images",
    "poe.videos.create",
    "runway.create",
    "stability.generate",
    "fal.create",
}
_ANSWERS = frozenset({"replicate.create", "poe.chat", "fal.create"})
_OUTPUTS = _ANSWERS | {"runway.create"}
# Kinds that need a route whose work knows them; every other kind strikes anywhere.
_ONLY_AT: dict[str, frozenset[str]] = {
    "expired": frozenset({"replicate.get", "poe.videos.content", "delivery.get"}),
    "failed": _CREATES,
    "moderated": _CREATES,
    "slow": _CREATES,
    "aborted": frozenset({"replicate.create", "fal.create", "runway.create"}),
    "data_uri": frozenset({"replicate.create", "fal.create", "compatible.create"}),
    "text_only": _ANSWERS,
    "null_output": _OUTPUTS | _IMAGES,
    "empty_output": _OUTPUTS | _IMAGES | {"stability.generate"},
    "partial_output": _OUTPUTS | _IMAGES,
    "foreign_output": _OUTPUTS | {"compatible.create"},
    "big_output": _OUTPUTS | {"openai.create", "openai.edit"},
    "duplicate": frozenset({"replicate.webhook", "fal.webhook"}),
    "lag": frozenset({"replicate.list"}),
}


@dataclass(frozen=True)
class Fault:
    """What is to go wrong.

    Attributes:
        route: Where.
        kind: What; the list at the head of this module says what each does.
        times: How many matching requests it strikes; one fault strikes one request at a time.
        match: Only requests whose path, body or prompt contains this.
        status: HTTP status for kind "status".
        body: Text to answer with; the recorded body of that status when None.
        headers: Extra headers of the answer.
        text: The error text of "failed" (at Runway the failure code, also of "moderated"), the answer of "text_only", the media type of "wrong_content_type", the
            status word of "unknown_status".
        url: Where "redirect" and "foreign_output" point.
        seconds: Real seconds for "delay" and "slow_drip" (between pieces); seconds of the emulator's clock for "slow".
        size: Bytes of "big_output".
        count: Files of "partial_output".
    """

    route: Route
    kind: Kind
    times: int = 1
    match: str = ""
    status: int = 500
    body: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    text: str = ""
    url: str = ""
    seconds: float = 0.0
    size: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        """Refuse what could never strike.

        Raises:
            ValueError: If `route` or `kind` is unknown, or they do not go together.
        """
        if self.route not in _ROUTES:
            message = f"There is no route {self.route!r}. Choose one of {sorted(_ROUTES)!r}."
            raise ValueError(message)
        if self.kind not in _KINDS:
            message = f"There is no kind of fault {self.kind!r}. Choose one of {sorted(_KINDS)!r}."
            raise ValueError(message)
        places = _ONLY_AT.get(self.kind)
        if places is not None and self.route not in places:
            message = f"A fault of kind {self.kind!r} cannot strike {self.route!r}. It strikes {sorted(places)!r}."
            raise ValueError(message)

    @classmethod
    def from_json(cls, value: object) -> Fault:
        """Read a fault as `POST /_faults` takes it: an object with the attributes above; `body` may be any JSON.

        Raises:
            ValueError: If it is not such an object.
        """
        known = {item.name for item in fields(cls)}
        if not isinstance(value, dict):
            message = f"A fault is a JSON object, not {value!r}."
            raise ValueError(message)  # noqa: TRY004 - a JSON door knows one error class
        members = cast("dict[str, object]", value)
        unknown = sorted(members.keys() - known)
        if unknown or not {"route", "kind"} <= members.keys():
            message = f"A fault needs 'route' and 'kind' and knows {sorted(known)!r}; {unknown!r} it does not know."
            raise ValueError(message)
        body = members.get("body")
        if body is not None and not isinstance(body, str):
            members = {**members, "body": json.dumps(body)}
        return cls(**members)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class FaultQueue:
    """The faults still to come, oldest first. Safe from any thread."""

    def __init__(self) -> None:
        """Start without faults."""
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        """Append a fault."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Forget all faults."""
        with self._lock:
            self._faults.clear()

    def pending(self) -> tuple[Fault, ...]:
        """Return the faults still to come."""
        with self._lock:
            return tuple(self._faults)

    def take(self, route: str, text: str) -> Fault | None:
        """Return the fault that strikes this request, and use it up by one."""
        with self._lock:
            for index, fault in enumerate(self._faults):
                if fault.route == route and fault.match in text:
                    if fault.times > 1:
                        self._faults[index] = replace(fault, times=fault.times - 1)
                    else:
                        del self._faults[index]
                    return fault
        return None
