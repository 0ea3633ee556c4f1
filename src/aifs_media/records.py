"""The records of the library: what is asked, what runs, what a provider answers and what is stored.

All are frozen and go to JSON and back (`model_dump_json`, `model_validate_json`). Those that outlive a process carry a
`format` number. Times are UTC, durations seconds, sizes bytes or pixels, money `Decimal`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, JsonValue

from aifs_media._record import Kind as Kind
from aifs_media._record import Record as Record
from aifs_media._record import Size as Size
from aifs_media.capabilities import Capability as Capability
from aifs_media.capabilities import Frames as Frames
from aifs_media.capabilities import Need as Need
from aifs_media.capabilities import Price as Price
from aifs_media.capabilities import SizeLimits as SizeLimits

OnCancel = Literal["cancel", "detach"]
OnUnknown = Literal["find", "retry"]
Billed = Literal["yes", "no", "unknown"]
FailureReason = Literal["generation_failed", "content_rejected", "canceled", "expired", "no_media"]
Stage = Literal[
    "new",  # nothing was sent
    "intent",  # recorded that a create is about to leave
    "submitted",  # the provider accepted it and gave a ref
    "unknown",  # the create's answer was lost
    "succeeded",  # the provider has outputs; nothing is stored yet
    "storing",  # at least one object key is being written
    "stored",  # done: assets hold what was kept
    "failed",
    "canceled",
    "expired",
    "uncertain",  # could not find out whether the create was accepted
]
TERMINAL_STAGES: frozenset[Stage] = frozenset({"stored", "failed", "canceled", "expired", "uncertain"})

FORMAT = 1


def utc_now() -> datetime:
    """Return the present time in UTC."""
    return datetime.now(UTC)


# -- money -------------------------------------------------------------------------------------------------------------

CostBasis = Literal[
    "image", "megapixel", "video", "video_second", "gpu_second", "tokens", "points", "credits", "unknown"
]


class Cost(Record):
    """What a job cost. `amount` is None where it is unknown; unknown is never 0.

    `status` tells an estimate of ours (from a published price) from a figure the provider reported. `basis` says what was
    counted and `quantity` how much of it: 2 images, 88.4 GPU seconds, 4,170 tokens, 250 points.
    """

    amount: Decimal | None = None
    currency: str = "USD"
    basis: CostBasis = "unknown"
    quantity: float | None = None
    status: Literal["estimated", "reported", "unknown"] = "unknown"
    source: str = ""
    as_of: str = ""


# -- what is asked -----------------------------------------------------------------------------------------------------


class InputFile(Record):
    """A file that goes into a request, for example a start frame. Exactly one of path, url, object_key, data is set.

    `sha256` identifies the bytes where they are at hand; a URL is taken as it is.
    """

    media_type: str = ""
    sha256: str = ""
    size: int | None = None
    path: str | None = None
    url: str | None = Field(default=None, repr=False)
    object_key: str | None = None
    data: str | None = Field(default=None, repr=False, description="base64")


class MediaRequest(Record):
    """What the caller wants, with the provider and model that will serve it.

    `inputs` is what the provider will be sent, in the model's own names: filled in before anything is paid, so that the
    record of the intent and the create are one and the same. `options` are the caller's provider-specific ones. `lifetime`
    is the longest time in seconds that the job may exist at the provider, `timeout` how long the caller waits: a provider that
    holds a create open for its result holds it no longer. `webhook` is where the provider should tell that the job has ended.
    """

    kind: Kind
    prompt: str
    provider: str = ""
    model: str = ""
    n: int = Field(default=1, ge=1)
    size: Size | None = None
    aspect_ratio: str | None = None
    seed: int | None = None
    duration: float | None = None
    fps: float | None = None
    image: InputFile | None = None
    negative_prompt: str | None = None
    output_format: str | None = None
    options: dict[str, JsonValue] = Field(default_factory=dict)
    tags: dict[str, str] = Field(default_factory=dict)
    inputs: dict[str, JsonValue] = Field(default_factory=dict)
    lifetime: float | None = None
    timeout: float | None = None
    webhook: str = Field(default="", repr=False)


# -- what a provider answers -------------------------------------------------------------------------------------------


class InlineFile(Record):
    """An output that came inside the answer."""

    data: bytes = Field(repr=False)
    media_type: str = ""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")


class RemoteFile(Record):
    """An output behind a URL that will expire.

    `auth="provider"` lets the API key go to the provider's configured origin, and nowhere else.
    """

    url: str = Field(repr=False)
    auth: Literal["none", "provider"] = "none"
    media_type: str = ""
    expires_at: datetime | None = None


Output = InlineFile | RemoteFile


class Pending(Record):
    """The job runs at the provider. `ref` is the provider's own handle, opaque JSON without any key in it."""

    ref: JsonValue
    progress: float | None = None
    queue_position: int | None = None
    poll_after: float | None = None
    status: Literal["pending"] = "pending"


class Succeeded(Record):
    """The provider has the outputs. `seed` is the one it reports; `emulated` is set by the emulator's answers only."""

    outputs: tuple[Output, ...]
    ref: JsonValue = None
    cost: Cost | None = None
    seed: int | None = None
    warnings: tuple[str, ...] = ()
    emulated: bool = False
    status: Literal["succeeded"] = "succeeded"


class Failed(Record):
    """The provider says that the job failed. A request that could not be made is an exception instead."""

    reason: FailureReason
    message: str
    ref: JsonValue = None
    cost: Cost | None = None
    billed: Billed = "unknown"
    retryable: bool = False
    status: Literal["failed"] = "failed"


State = Annotated[Pending | Succeeded | Failed, Field(discriminator="status")]


class Found(Record):
    """A job in the provider's own list that may be ours. `inputs` is what the provider says it was sent."""

    ref: JsonValue
    created_at: datetime
    inputs: dict[str, JsonValue]
    state: State


class WebhookNote(Record):
    """What a verified webhook says: which delivery it is, and which job moved. What became of the job is asked, not believed.

    `job` is our own name of the job as it stands in the webhook's URL, empty where there is none.
    """

    delivery_id: str
    ref: JsonValue
    job: str = ""


class InputRef(Record):
    """An input file as the provider can read it: a URL or an id, and until when."""

    value: str = Field(repr=False)
    expires_at: datetime | None = None


# -- a job -------------------------------------------------------------------------------------------------------------


class Attempt(Record):
    """One try to create the job at the provider.

    Attributes:
        submit_key: our own key of this create; goes out where the provider takes an idempotency key.
        send_by: the create must not leave after this moment.
        outcome: accepted; not_accepted (provably, so another attempt may follow); unknown (the answer was lost); or sending.
        ref: the provider's handle once it is known.
    """

    submit_key: str
    provider: str
    model: str
    started_at: datetime
    send_by: datetime
    outcome: Literal["sending", "accepted", "not_accepted", "unknown"] = "sending"
    reason: str = ""
    ref: JsonValue = None


class Part(Record):
    """One output of a job on its way into the storage."""

    index: int
    output: Output | None = Field(default=None, repr=False)
    object_key: str | None = None
    asset: Asset | None = None
    error: str = ""


class Failure(Record):
    """Why a job ended without (all of) its media; repeated for everyone who asks again."""

    reason: FailureReason | Literal["uncertain", "rejected"]
    message: str
    billed: Billed = "unknown"
    retryable: bool = False


class Alternative(Record):
    """What a job will ask of its next model, if the one before fails for certain and unbilled. The fields are those of Job."""

    request: MediaRequest
    seed_is_ours: bool
    timeout: float
    lifetime: float
    find_window: float
    find_lag: float
    object_stems: tuple[str, ...]
    image_input: str
    image_in_list: bool
    price: Price | None
    expected_size: Size | None
    expected_duration: float | None
    expected_fps: float | None
    reported_seed: int | None
    warnings: tuple[str, ...]


class Job(Record):
    """One request on its way. Identity is `namespace` and `job_id`; one job has at most one accepted create.

    Hand it to `wait`, `resume` or `cancel`, keep it as JSON, and go on in any process. Signed URLs are in `ref` and `parts` of
    an unfinished job only.

    Attributes:
        version: grows by one with every change of the row.
        asked: a digest of what the caller asked for, so that the same id with another request is told apart.
        alternatives: the models that are left to try, in order.
        seed_is_ours: whether the seed in `request.inputs` was drawn by us, so that it is the job's fingerprint.
        timeout: seconds that the caller waits for the provider.
        lifetime: seconds that the job may exist at the provider.
        on_unknown: what happens when a create's answer is lost and the provider cannot be searched: "find" sends nothing again,
            "retry" does, at the risk of paying twice.
        find_window, find_lag: seconds for which, and after which, the provider's list shows a create.
        image_input: the model's own name of the start frame, filled in when the create is prepared.
        image_in_list: whether the model takes a list of images there.
        object_stems: object keys without extension, one per output, fixed before anything is paid.
        expected_size, expected_duration, expected_fps: what should come out, where the model's data tell.
        parts: the outputs on their way into the storage.
        timings: seconds per step so far: submit, wait; total once it is stored.
        notify_url: whom to tell when it has ended.
        cancel_requested: whether the provider was, or is about to be, asked to stop.
    """

    format: int = FORMAT
    job_id: str
    namespace: str = ""
    version: int = 0
    asked: str = ""
    request: MediaRequest
    alternatives: tuple[Alternative, ...] = ()
    seed_is_ours: bool = False
    stage: Stage = "new"
    created_at: datetime
    timeout: float
    lifetime: float
    on_cancel: OnCancel
    on_unknown: OnUnknown = "find"
    find_window: float = 0
    find_lag: float = 0
    object_stems: tuple[str, ...] = ()
    image_input: str = ""
    image_in_list: bool = False
    price: Price | None = None
    expected_size: Size | None = None
    expected_duration: float | None = None
    expected_fps: float | None = None
    attempts: tuple[Attempt, ...] = ()
    parts: tuple[Part, ...] = ()
    cost: Cost | None = None
    reported_seed: int | None = None
    emulated: bool = False
    warnings: tuple[str, ...] = ()
    timings: dict[str, float] = Field(default_factory=dict)
    notify_url: str = Field(default="", repr=False)
    cancel_requested: bool = False
    failure: Failure | None = None

    @property
    def provider(self) -> str:
        """The provider's name."""
        return self.request.provider

    @property
    def ref(self) -> JsonValue:
        """The provider's own handle, or None while none is known."""
        return self.attempts[-1].ref if self.attempts else None

    @property
    def has_lost_create(self) -> bool:
        """Whether a create may have been accepted without our knowing what became of it."""
        return any(attempt.outcome in {"sending", "unknown"} for attempt in self.attempts)

    @property
    def passed_over(self) -> dict[str, str]:
        """The models that were tried before the present one, as `provider:model`, and why each of them did not serve."""
        names = [(f"{attempt.provider}:{attempt.model}", attempt.reason) for attempt in self.attempts]
        return {name: reason for name, reason in names if name != f"{self.provider}:{self.request.model}"}

    @property
    def done(self) -> bool:
        """Whether the job has reached an end."""
        return self.stage in TERMINAL_STAGES

    @property
    def assets(self) -> tuple[Asset, ...]:
        """What is stored so far."""
        return tuple(part.asset for part in self.parts if part.asset is not None)


class Lease(Record):
    """The right to work on one job until `expires_at`, by the ledger's own clock. `fence` grows with every holder."""

    job_id: str
    namespace: str = ""
    owner: str
    fence: int
    expires_at: datetime


class Asset(Record):
    """The verified file in your own storage.

    Attributes:
        url: where it can be fetched; lasting, unless `expires_at` says until when.
        object_key: its name in the storage.
        media_type, size, sha256: measured on the bytes that were stored. `size` in bytes.
        width, height: pixels, measured; None where the container does not tell.
        duration: seconds, measured; None for an image.
        fps: frames per second, measured; None for an image.
        seed: what makes it repeatable, where the model has one.
        warnings: what differs from the request, one sentence each.
        timings: seconds per step: submit, wait, transfer (download and upload at once), total. A step that was not needed has none.
        cost: what it cost, see Cost. For several outputs of one job, this asset's equal share.
        emulated: True only where the emulator made it.
    """

    format: int = FORMAT
    url: str = Field(repr=False)
    expires_at: datetime | None = None
    object_key: str
    storage: str = ""
    kind: Kind
    media_type: str
    size: int
    sha256: str
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    fps: float | None = None
    provider: str
    model: str
    prompt: str
    seed: int | None = None
    job_id: str
    namespace: str = ""
    index: int = 0
    created_at: datetime
    tags: dict[str, str] = Field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    timings: dict[str, float] = Field(default_factory=dict)
    cost: Cost = Cost()
    emulated: bool = False

    def _repr_html_(self) -> str:
        """Show the asset in a notebook."""
        from html import escape

        source = escape(self.url, quote=True)
        title = escape(self.prompt, quote=True)
        if self.kind == "video":
            return f'<video src="{source}" title="{title}" controls loop style="max-width:100%"></video>'
        return f'<img src="{source}" title="{title}" style="max-width:100%">'


# -- text --------------------------------------------------------------------------------------------------------------


class TextRequest(Record):
    """What text is wanted. `system` sets the writer's role; both are sent as they are."""

    prompt: str
    system: str = ""
    model: str = ""


class TextResult(Record):
    """A text and who wrote it. Token counts are the provider's own; None where it reports none."""

    text: str
    provider: str
    model: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    emulated: bool = False

    def __str__(self) -> str:
        return self.text


class Caption(Record):
    """A caption for a post: the text without hashtags, and the hashtags, each with its leading `#`."""

    text: str
    hashtags: tuple[str, ...]


class Script(Record):
    """A short video script. Hand it to `video` in place of a prompt."""

    hook: str
    body: str
    outro: str

    def __str__(self) -> str:
        return "\n".join((self.hook, self.body, self.outro))


# -- storage and health ------------------------------------------------------------------------------------------------


class StoredObject(Record):
    """An object as the storage confirmed it. `size` in bytes."""

    object_key: str
    size: int
    etag: str = ""


class ObjectURL(Record):
    """Where an object can be fetched: lasting, or until `expires_at`."""

    url: str = Field(repr=False)
    expires_at: datetime | None = None


class Check(Record):
    """One finding of a health check. `hint` says what to do about it."""

    name: str
    ok: bool
    message: str
    hint: str = ""
    facts: dict[str, JsonValue] = Field(default_factory=dict)


class HealthReport(Record):
    """What `check()` found. Nothing was spent to find it."""

    format: int = FORMAT
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return all(check.ok for check in self.checks)


Part.model_rebuild()
Job.model_rebuild()
