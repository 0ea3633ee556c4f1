"""The roles that parts play for each other. Structural: nothing has to be inherited.

A provider must have the four members of `MediaProvider`; everything else it may do is a role of its own (`Pollable`,
`Cancellable`, ...). Ask for a role with `role(provider, Pollable)`, which looks through wrappers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from pydantic import JsonValue

    from aifs_media.records import (
        Attempt,
        Capability,
        Check,
        Cost,
        Failed,
        Found,
        InputRef,
        Job,
        Kind,
        Lease,
        MediaRequest,
        ObjectURL,
        Pending,
        Stage,
        StoredObject,
        Succeeded,
        TextRequest,
        TextResult,
        WebhookNote,
    )

RoleT = TypeVar("RoleT")


# -- providers ---------------------------------------------------------------------------------------------------------


@runtime_checkable
class MediaProvider(Protocol):
    """A vendor adapter."""

    @property
    def name(self) -> str:
        """The provider's name in `provider:model`, lower case."""
        ...

    @property
    def capabilities(self) -> Sequence[Capability]:
        """What it can do without asking anyone; the first of each kind is its default."""
        ...

    async def submit(self, request: MediaRequest, *, submit_key: str) -> Pending | Succeeded | Failed:
        """Create the job. Send `request.inputs` exactly once; never repeat the create on your own.

        A provider that takes a deadline with the create sends `request.lifetime`.

        Raises:
            MediaError: with `maybe_billed=False` where the provider provably did not accept it, else `maybe_billed=True`. Any
                other exception counts as a lost answer.
        """
        ...

    async def aclose(self) -> None:
        """Close connections. The provider can be used again afterwards."""
        ...


@runtime_checkable
class Pollable(Protocol):
    """A provider whose jobs go on after submit."""

    async def poll(self, ref: JsonValue) -> Pending | Succeeded | Failed:
        """Ask how the job stands. An exception means that it could not be asked, never that the job failed."""
        ...


@runtime_checkable
class Cancellable(Protocol):
    """A provider that can stop a job."""

    async def cancel(self, ref: JsonValue) -> Literal["cancelled", "too_late"]:
        """Ask the provider to stop the job."""
        ...


@runtime_checkable
class ForgetsCancelled(Protocol):
    """A provider that removes a job that was cancelled: asked for afterwards, it is not found.

    Of any other provider, "not found" says nothing about how a job ended.
    """

    @property
    def forgets_cancelled(self) -> Literal[True]:
        """Say so."""
        ...


@runtime_checkable
class Findable(Protocol):
    """A provider whose list of jobs shows a create whose answer was lost."""

    async def find(self, request: MediaRequest, *, since: datetime, until: datetime) -> Sequence[Found]:
        """Return the jobs created in that time that may be of this request, by its model and inputs.

        One that is left out counts as not made, and the create is sent again.

        Raises:
            MediaError: if it could not look through the whole window.
        """
        ...


@runtime_checkable
class WebhookVerifier(Protocol):
    """A provider that tells by webhook when a job has ended."""

    async def verify_webhook(self, headers: Mapping[str, str], body: bytes) -> WebhookNote:
        """Check a webhook's signature on its raw body, and read which job it is about.

        Raises:
            WebhookRefusedError: it is not from the provider, too old, or not readable. Never anything else.
            MediaError: the provider's secret could not be had.
        """
        ...


@runtime_checkable
class InputUploader(Protocol):
    """A provider that keeps input files itself."""

    async def upload(self, data: bytes, *, media_type: str, name: str) -> InputRef:
        """Upload a file and return how a request names it."""
        ...


@runtime_checkable
class InputLimits(Protocol):
    """A provider that says how it takes input files."""

    @property
    def data_uri_limit(self) -> int:
        """Bytes up to which a file goes inside the request, as a data URI."""
        ...

    @property
    def reads_urls(self) -> bool:
        """Whether it fetches inputs from URLs; otherwise all of them go inside the request, or through its own upload."""
        ...


@runtime_checkable
class Catalogue(Protocol):
    """A provider that can be asked what a model takes."""

    async def describe(self, kind: Kind, model: str) -> Capability:
        """Fetch what the model takes. The answer is cached by the provider.

        Raises:
            ModelRetiredError: the provider does not know the model.
            ProviderError: it could not be asked.
        """
        ...


@runtime_checkable
class CostReporter(Protocol):
    """A provider whose books can be asked what a job cost, after the fact."""

    async def report_cost(self, request: MediaRequest, attempt: Attempt) -> Cost | None:
        """Return the cost, or None where it cannot be told for this job alone."""
        ...


@runtime_checkable
class Checkable(Protocol):
    """A part that can prove, at no cost, that it is set up."""

    async def check(self) -> Sequence[Check]:
        """Return findings; never raise for a finding."""
        ...


@runtime_checkable
class Preflight(Protocol):
    """A storage or provider that knows, without asking anyone, whether it could do its part of a new job."""

    async def preflight(self) -> None:
        """Return if it could. Asked before a job is recorded and paid for; what it needs may be made now.

        Raises:
            MediaError: it could not; the error that it would raise when the job needs it.
        """
        ...


@runtime_checkable
class Gated(Protocol):
    """A provider with a limited number of creates in flight."""

    def gate(self) -> AbstractAsyncContextManager[object]:
        """Hold a place: taken before the intent is recorded, so that nothing waits between intent and send."""
        ...


@runtime_checkable
class Delivering(Protocol):
    """A provider that names the hosts its outputs come from. This decides what may be fetched, never where the key goes."""

    @property
    def base_url(self) -> str:
        """The configured address of the API."""
        ...

    @property
    def delivery_hosts(self) -> tuple[str, ...]:
        """Host names, `*.` for any name below one, or exact `host:port` entries."""
        ...


@runtime_checkable
class Authorizing(Protocol):
    """A provider some of whose outputs need its key."""

    def authorization_for(self, url: str) -> Mapping[str, str]:
        """Return the headers that may go to a URL: the key's only if it lies at the provider's configured origin."""
        ...


@runtime_checkable
class TextWriter(Protocol):
    """A provider that writes text. Text is not a job: it is asked for at most once."""

    async def write(self, request: TextRequest) -> TextResult:
        """Return the text."""
        ...


# -- bytes and storage -------------------------------------------------------------------------------------------------


class ByteSource(Protocol):
    """Bytes on their way. The end comes only after everything was verified: a bad file raises in `read`."""

    @property
    def length(self) -> int | None:
        """How many bytes there will be; None where it is not known."""
        ...

    async def read(self) -> bytes:
        """Return the next bytes, of any number; empty bytes at the end, and again after it."""
        ...

    async def aclose(self) -> None:
        """Let go of the connection or file."""
        ...


@runtime_checkable
class Storage(Protocol):
    """Where assets go. Nothing is visible under `object_key` until the source has ended well."""

    name: str

    async def put(
        self, object_key: str, source: ByteSource, *, media_type: str, labels: Mapping[str, str]
    ) -> StoredObject:
        """Read the source to its end and write it as one object, replacing what was there.

        Args:
            object_key: relative, with `/` between segments.
            source: read until it ends; whatever it raises is raised, and nothing stays visible.
            media_type: stored as the object's Content-Type.
            labels: ASCII names and values, kept as object metadata where the storage has any.

        Raises:
            StorageError: the object could not be written; nothing will appear later.
        """
        ...

    async def url(self, object_key: str, *, expires_in: float | None = None) -> ObjectURL:
        """Return where the object can be fetched. `expires_in` seconds asks for a URL that ends by itself."""
        ...

    async def delete(self, object_key: str) -> None:
        """Remove the object; one that is not there is fine."""
        ...

    async def discard_partial(self, object_key: str) -> None:
        """Remove open uploads of exactly that key that a crash left behind."""
        ...

    async def aclose(self) -> None:
        """Close connections. The storage can be used again afterwards."""
        ...


@runtime_checkable
class Readable(Protocol):
    """A storage whose objects can be read back."""

    async def open(self, object_key: str) -> ByteSource:
        """Open an object. Raises StorageError if it is not there."""
        ...


# -- time --------------------------------------------------------------------------------------------------------------


class Clock(Protocol):
    """Time, so that tests, the emulator and durable engines can own it."""

    def now(self) -> datetime:
        """Return the present time in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; a cancellation point."""
        ...


# -- ledger ------------------------------------------------------------------------------------------------------------


@runtime_checkable
class Ledger(Protocol):
    """The record of jobs. Identity is namespace and job id; every update names the version it builds on.

    Several tasks, and with a durable ledger several processes, may share one. Who works on a job holds its lease; each new
    holder gets a higher fence, and an update with an older one is refused, so that a holder that was away too long cannot
    write over what the next one did.
    """

    durable: bool

    async def create_or_load(self, job: Job) -> Job:
        """Record a new job, or return the one that already has its identity."""
        ...

    async def load(self, job_id: str, *, namespace: str = "") -> Job | None:
        """Return the job, or None."""
        ...

    async def update(self, job: Job, *, expected_version: int, fence: int | None = None) -> Job:
        """Replace the row if it still has `expected_version`; return the job with its new version, durable by then.

        A job's identity, `created_at` and tags stay what they were when it was recorded.

        Raises:
            StaleJobError: another writer was faster, or `fence` is not the newest.
        """
        ...

    async def find_by_ref(self, provider: str, ref: JsonValue) -> Job | None:
        """Return the job that holds this provider handle, or None."""
        ...

    async def unfinished(self, *, limit: int = 100) -> Sequence[Job]:
        """Return jobs that have not reached an end: those whose outputs expire soonest first, then the oldest.

        Those that were never sent come last: nothing of theirs is paid for, and they must not keep the others from being seen.
        """
        ...

    async def search(
        self,
        *,
        namespace: str | None = None,
        tags: Mapping[str, str] | None = None,
        stages: Collection[Stage] | None = None,
        limit: int = 100,
    ) -> Sequence[Job]:
        """Return the jobs that fit all that is given, newest first. `namespace=None` means every namespace."""
        ...

    async def acquire(self, job_id: str, *, namespace: str = "", owner: str, seconds: float) -> Lease | None:
        """Take the job's lease for so long; None while another owner holds it. The same owner gets a new fence too."""
        ...

    async def renew(self, lease: Lease, *, seconds: float) -> Lease:
        """Hold a lease for so long from now.

        Raises:
            StaleJobError: it ran out and somebody else took it.
        """
        ...

    async def release(self, lease: Lease) -> None:
        """Give a lease back; one that is lost already is fine."""
        ...

    async def claim_delivery(
        self, delivery_id: str, *, job: Job | None = None, expected_version: int | None = None
    ) -> bool:
        """Remember a webhook's delivery and, in the same transaction, make the update that it causes.

        Returns False, and changes nothing, if the delivery was claimed before.

        Raises:
            StaleJobError: the job's row has another version; the delivery is not claimed then.
        """
        ...

    async def prune(self, *, before: datetime) -> int:
        """Forget finished jobs, and deliveries, from before that time; return how many jobs."""
        ...

    async def aclose(self) -> None:
        """Close files and connections. The ledger can be used again afterwards."""
        ...


def role(part: object, wanted: type[RoleT]) -> RoleT | None:
    """Return `part` as `wanted` if it plays that role, else None.

    A wrapper that names what it wraps in `wrapped` has the roles of the innermost object; the call goes to the outermost.
    A structural check alone would say yes to any wrapper that forwards attributes on Python 3.11 and no on 3.12.
    """
    innermost = part
    while (inner := innermost.__dict__.get("wrapped") if hasattr(innermost, "__dict__") else None) is not None:
        innermost = inner
    return part if isinstance(innermost, wanted) else None  # type: ignore[return-value]
