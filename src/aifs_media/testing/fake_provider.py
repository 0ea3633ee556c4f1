"""A provider without a service: it answers what a test scripts, and remembers what it was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import anyio.lowlevel

from aifs_media.errors import JobNotFoundError
from aifs_media.records import Capability, Failed, InlineFile, Pending, Succeeded
from aifs_media.testing.media import small_file, small_png

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import JsonValue

    from aifs_media.records import Kind, MediaRequest

Answer = Pending | Succeeded | Failed | Exception
"""What a job answers at one step. An exception is raised; the ref of a state is replaced by the fake's own."""

_OPTIONS = (
    "prompt", "n", "width", "height", "aspect_ratio", "seed", "duration", "fps", "image", "negative_prompt", "output_format",
)  # fmt: skip
_MOST_OUTPUTS = 8


class FakeProvider:
    """A provider that makes small files out of nothing. It opens no connection, and its assets say `emulated`.

    Each create takes the next script: a list of what the job answers to its create and then to each poll; the last answer
    is repeated. A create without a script succeeds at once:

        FakeProvider([Pending(ref=None), Failed(reason="content_rejected", message="no")], [RateLimitedError("slow down")])

    Named "replicate" or "poe" it stands in for that provider, whatever model the code under test asks for.

    Args:
        jobs: one script per create, in order.
        name: the provider's name in `provider:model`.

    Attributes:
        creates: the request of every create, those that raised included.
        submit_keys: the key of every create.
        polls: the ref of every poll.
        cancels: the ref of every cancel.
    """

    def __init__(self, *jobs: Sequence[Answer], name: str = "fake") -> None:
        self.name = name
        self.capabilities: Sequence[Capability] = (_capability("image", "picture"), _capability("video", "film"))
        self.creates: list[MediaRequest] = []
        self.submit_keys: list[str] = []
        self.polls: list[JsonValue] = []
        self.cancels: list[JsonValue] = []
        self._scripts = [list(job) for job in jobs]
        self._running: dict[JsonValue, list[Answer]] = {}

    async def submit(self, request: MediaRequest, *, submit_key: str) -> Pending | Succeeded | Failed:
        """Answer with the first step of the next script."""
        self.creates.append(request)
        self.submit_keys.append(submit_key)
        script = self._scripts.pop(0) if self._scripts else []
        ref = f"{self.name}-{len(self.creates)}"
        self._running[ref] = script or [_success(request)]
        await anyio.lowlevel.checkpoint()
        return self._next(ref)

    async def poll(self, ref: JsonValue) -> Pending | Succeeded | Failed:
        """Answer with the job's next step. Raises JobNotFoundError for a ref that is not of this fake."""
        self.polls.append(ref)
        await anyio.lowlevel.checkpoint()
        return self._next(ref)

    async def cancel(self, ref: JsonValue) -> Literal["cancelled", "too_late"]:
        """Stop a job that has not ended. Raises JobNotFoundError like `poll`."""
        self.cancels.append(ref)
        await anyio.lowlevel.checkpoint()
        ended = self._script(ref)[0]
        if isinstance(ended, Succeeded | Failed):
            return "too_late"
        self._running[ref] = [Failed(reason="canceled", message="The job was cancelled.", billed="no")]
        return "cancelled"

    async def describe(self, kind: Kind, model: str) -> Capability:
        """Say of any model that it takes every common option."""
        await anyio.lowlevel.checkpoint()
        return _capability(kind, model)

    async def aclose(self) -> None:
        """Do nothing: there are no connections."""
        await anyio.lowlevel.checkpoint()

    def _script(self, ref: JsonValue) -> list[Answer]:
        if not isinstance(ref, str) or ref not in self._running:
            raise JobNotFoundError(f"The fake provider {self.name!r} has no job {ref!r}.", provider=self.name)
        return self._running[ref]

    def _next(self, ref: JsonValue) -> Pending | Succeeded | Failed:
        script = self._script(ref)
        answer = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(answer, Exception):
            raise answer
        made_up: dict[str, object] = {"emulated": True} if isinstance(answer, Succeeded) else {}
        return answer.model_copy(update={"ref": ref, **made_up})

    def __repr__(self) -> str:
        return f"FakeProvider(name={self.name!r}, creates={len(self.creates)})"


def _capability(kind: Kind, model: str) -> Capability:
    names = {name: name for name in _OPTIONS}
    return Capability(kind=kind, model=model, names=names, inputs={}, maximum_outputs=_MOST_OUTPUTS)


def _success(request: MediaRequest) -> Succeeded:
    texts = [f"{request.prompt} {index}" for index in range(request.n)]
    if request.kind == "image" and request.size is not None:
        size = request.size
        pictures = [small_png(size.width, size.height, text=text) for text in texts]
        return Succeeded(outputs=tuple(InlineFile(data=data, media_type="image/png") for data in pictures))
    return Succeeded(outputs=tuple(small_file(request.kind, text=text) for text in texts))
