"""Every error the library raises, split by what the caller does next.

    MediaError                          code, hint, provider, job_id, request_id, retryable, retry_after, maybe_billed
    +-- ConfigurationError              fix your set-up
    |   +-- MissingCredentialError      an API key is not configured
    |   +-- UnknownProviderError        no provider or storage of that name
    |   +-- PluginError                 an installed plugin cannot be loaded
    +-- RequestRejectedError            change the request (nothing was paid)
    |   +-- UnsupportedOptionError      the model cannot do what an option asks
    |   +-- ContentRejectedError        the provider's moderation refused prompt or output
    |   +-- ModelRetiredError           the model no longer exists, or never did
    |   +-- JobConflictError            the job id belongs to another request
    |   +-- WebhookRefusedError         a webhook that is not from the provider
    +-- ProviderError                   ask the provider
    |   +-- AuthenticationError         the key is wrong or may not do this
    |   +-- PaymentRequiredError        the account has no credit
    |   +-- RateLimitedError            too many requests
    |   +-- ProviderUnavailableError    could not be reached, or answered 5xx
    |   +-- UnexpectedResponseError     answered something its contract does not allow
    +-- JobError                        look at the job: error.job
    |   +-- GenerationFailedError       the provider says the generation failed
    |   +-- GenerationTimeoutError      the wait ran out
    |   +-- JobCanceledError            the job was cancelled
    |   +-- StaleJobError               another writer changed the job's row first
    |   +-- JobNotFoundError            no such job
    |   +-- PartialResultError          some outputs were kept, others were not
    |   +-- SubmissionUncertainError    the create's answer was lost; it may be billed
    |   +-- OutputExpiredError          the provider deleted the output before it was fetched
    |   +-- NoMediaError                the provider ended without any media
    +-- TransferError                   the bytes
    |   +-- UnsafeURLError              a URL that must not be fetched
    |   +-- DownloadError               the output could not be downloaded
    |   +-- BadMediaError               the bytes are not the media that was asked for
    +-- StorageError                    your bucket
    |   +-- UploadError                 the object could not be written
    |   +-- StorageCredentialError      the storage refuses the credentials
    |   +-- BucketNotFoundError         the bucket is not there
    +-- LedgerError                     the record of jobs

`str(error)` is what happened, then what to do next, then the provider's request id. `exit_code` is what a command line should
return and `http_status` what an embedding service should answer: a provider's 401 is the service's 502, never its user's 401.
All of them can be pickled. None holds an API key, and none a signed query but in the `job` that it may carry: an unfinished
job holds the addresses of its outputs. The cancellation of a task is never wrapped.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, ClassVar, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aifs_media.records import Asset, Job

E = TypeVar("E", bound="MediaError")


def _rebuild(cls: type[E], args: tuple[object, ...], state: dict[str, object]) -> E:
    error = cls.__new__(cls)
    Exception.__init__(error, *args)
    error.__dict__.update(state)
    return error


class MediaError(Exception):
    """The root of all errors of this library.

    Attributes:
        message: what happened, one sentence.
        hint: what to do next; empty where there is nothing to add.
        provider: the provider's name, or empty.
        job_id: the job concerned, or empty.
        request_id: the provider's or storage's own id of the failed request, for their support; or empty.
        retryable: whether the same call may succeed later without any change, and without paying twice: False where that would
            make another job beside a `resumable` one, because the call had no `job_id` of the caller's.
        retry_after: seconds the provider asked to wait, or None.
        maybe_billed: whether the provider may charge for what failed.
        resumable: whether `resume(error.job_id)` can go on with the job and bring its media all the same.
    """

    code: ClassVar[str] = "media_error"
    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500
    user_message: ClassVar[str] = "The media could not be made."

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        provider: str = "",
        job_id: str = "",
        request_id: str = "",
        retryable: bool = False,
        retry_after: float | None = None,
        maybe_billed: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.provider = provider
        self.job_id = job_id
        self.request_id = request_id
        self.retryable = retryable
        self.retry_after = retry_after
        self.maybe_billed = maybe_billed
        self.resumable = False

    def __str__(self) -> str:
        text = self.message
        if self.hint:
            text = f"{text} {self.hint}"
        if self.request_id:
            text = f"{text} (request id {self.request_id})"
        return text

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.args, self.__dict__.copy())


# -- fix your set-up ---------------------------------------------------------------------------------------------------


class ConfigurationError(MediaError):
    """The settings are incomplete or contradict each other."""

    code = "configuration"
    exit_code = 3
    user_message = "The media service is not set up correctly."


class MissingCredentialError(ConfigurationError):
    """A provider is needed whose API key is not configured.

    Args:
        label: the vendor's name as people write it, for example "Replicate".
        setting: the environment name that should hold the key.
        use: what the key is needed for.
    """

    code = "missing_credential"

    def __init__(
        self, *, label: str, setting: str, provider: str, use: str = "image/video generation", hint: str = ""
    ) -> None:
        super().__init__(
            f"{label} API key is required for {use}. Please configure {setting} in your environment.",
            provider=provider,
            hint=hint,
        )


class UnknownProviderError(ConfigurationError):
    """No provider (or storage) of that name is built in, registered or installed."""

    code = "unknown_provider"

    def __init__(self, name: str, *, known: Iterable[str], role: str = "provider") -> None:
        names = sorted(known)
        close = difflib.get_close_matches(name, names, n=1)
        guess = f" Did you mean {close[0]!r}?" if close else ""
        super().__init__(
            f"There is no {role} named {name!r}.{guess}",
            hint=f"Known: {', '.join(names)}. A {role} from another package must be installed to be found.",
            provider=name if role == "provider" else "",
        )


class PluginError(ConfigurationError):
    """An entry point was found by name and could not be loaded; everything else keeps working."""

    code = "plugin"

    def __init__(self, *, name: str, distribution: str, entry_point: str, reason: str) -> None:
        super().__init__(
            f"The plugin {name!r} ({entry_point}) of the distribution {distribution!r} cannot be loaded: {reason}",
            hint="Upgrade or uninstall that distribution, or report it to its authors.",
        )


# -- change the request ------------------------------------------------------------------------------------------------


class RequestRejectedError(MediaError):
    """The request cannot be carried out as it is. Nothing was paid unless `maybe_billed` says so."""

    code = "request_rejected"
    exit_code = 2
    http_status = 422
    user_message = "The request cannot be carried out as it is."


class UnsupportedOptionError(RequestRejectedError):
    """There is no such option, or the model does not take it, or not that value.

    Attributes:
        option: the option's name.
        model: the model as `provider:model`.
    """

    code = "unsupported_option"

    def __init__(
        self,
        message: str,
        *,
        option: str,
        model: str = "",
        hint: str = "",
        provider: str = "",
    ) -> None:
        super().__init__(message, hint=hint, provider=provider)
        self.option = option
        self.model = model


class ContentRejectedError(RequestRejectedError):
    """The provider's moderation refused the prompt or what came out of it."""

    code = "content_rejected"
    user_message = "The provider's content rules do not allow this request."


class ModelRetiredError(RequestRejectedError):
    """The provider does not have this model (any more). `suggestions` are models as `provider:model` to use instead."""

    code = "model_retired"

    def __init__(
        self, message: str, *, model: str, suggestions: Sequence[str] = (), hint: str = "", provider: str = ""
    ) -> None:
        instead = f"Use instead: {', '.join(suggestions)}." if suggestions else ""
        super().__init__(message, hint=" ".join(part for part in (hint, instead) if part), provider=provider)
        self.model = model
        self.suggestions = tuple(suggestions)


class JobConflictError(RequestRejectedError):
    """The job id already belongs to another request."""

    code = "job_conflict"
    http_status = 409

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"The job id {job_id!r} already belongs to another request.",
            hint="Use a new job id for a new request; the same id with the same request joins the existing job.",
            job_id=job_id,
        )


class WebhookRefusedError(RequestRejectedError):
    """A webhook is not from the provider: no or a wrong signature, too old, too large, or not readable."""

    code = "webhook_refused"
    http_status = 401


# -- ask the provider --------------------------------------------------------------------------------------------------


class ProviderError(MediaError):
    """The provider refused, could not be reached, or answered nonsense."""

    code = "provider"
    exit_code = 4
    http_status = 502
    user_message = "The media provider could not serve this request."


class AuthenticationError(ProviderError):
    """The provider does not accept the key, or the key may not do this."""

    code = "authentication"


class PaymentRequiredError(ProviderError):
    """The account behind the key has no credit.

    Args:
        label: the vendor's name as people write it.
        billing_url: where credit is bought.
    """

    code = "payment_required"

    def __init__(self, *, label: str, billing_url: str, provider: str, request_id: str = "", detail: str = "") -> None:
        super().__init__(
            f"{label} account has insufficient credits. Please add credits at {billing_url}",
            hint=f"({label} says: {detail})" if detail else "",
            provider=provider,
            request_id=request_id,
        )


class RateLimitedError(ProviderError):
    """Too many requests. `retry_after` holds the seconds the provider named, if it did."""

    code = "rate_limited"
    http_status = 503


class ProviderUnavailableError(ProviderError):
    """No connection, no answer in time, or a 5xx answer."""

    code = "provider_unavailable"
    http_status = 503


class UnexpectedResponseError(ProviderError):
    """An answer outside the provider's contract."""

    code = "unexpected_response"


# -- look at the job ---------------------------------------------------------------------------------------------------


class JobError(MediaError):
    """A job did not end with a stored asset. `job` is the job as it stands, or None where it is not known."""

    code = "job"
    exit_code = 5
    http_status = 502
    user_message = "The media could not be generated."

    def __init__(
        self,
        message: str,
        *,
        job: Job | None = None,
        hint: str = "",
        provider: str = "",
        job_id: str = "",
        request_id: str = "",
        retryable: bool = False,
        maybe_billed: bool = False,
    ) -> None:
        super().__init__(
            message,
            hint=hint,
            provider=provider or (job.provider if job else ""),
            job_id=job_id or (job.job_id if job else ""),
            request_id=request_id,
            retryable=retryable,
            maybe_billed=maybe_billed,
        )
        self.job = job


class GenerationFailedError(JobError):
    """The provider says that the generation failed. `retryable` says whether a new job may succeed."""

    code = "generation_failed"


class GenerationTimeoutError(JobError):
    """The wait ran out before the provider reported a result.

    Args:
        outcome: what became of the job at the provider, one sentence.
        timeout: the wait in seconds.
        maybe_billed: False where no create has left.
    """

    code = "generation_timeout"
    http_status = 504

    def __init__(self, *, job: Job, timeout: float, outcome: str) -> None:
        unsent = job.stage == "new" and not job.has_lost_create
        unbilled = job.failure is not None and job.failure.billed == "no"
        super().__init__(
            "Prediction timeout - generation took too long",
            job=job,
            hint=f"(waited {timeout:g} s; {outcome}) Pass a longer timeout=, or choose a faster model.",
            retryable=True,
            maybe_billed=not (unsent or unbilled),
        )
        self.timeout = timeout


class JobCanceledError(JobError):
    """The job was cancelled, by the caller, by its deadline or at the provider's dashboard."""

    code = "job_canceled"
    http_status = 409


class StaleJobError(JobError):
    """Another process or task changed the job's row first. Load it again."""

    code = "stale_job"
    http_status = 409


class JobNotFoundError(JobError):
    """No job with that id in this ledger and namespace, or the provider does not know it."""

    code = "job_not_found"
    http_status = 404


class PartialResultError(JobError):
    """Several outputs were paid for and not all could be stored.

    Attributes:
        assets: what was stored.
        failed: for each output that was not, its index and the error.
    """

    code = "partial_result"

    def __init__(self, *, job: Job, assets: Sequence[Asset], failed: Mapping[int, MediaError]) -> None:
        names = "; ".join(f"output {index}: {error}" for index, error in failed.items())
        super().__init__(
            f"{len(assets)} of {len(assets) + len(failed)} outputs were stored.",
            job=job,
            hint=f"error.assets holds them. Not stored: {names}. resume(job) tries those again while the provider keeps them.",
            retryable=True,
            maybe_billed=True,
        )
        self.assets = tuple(assets)
        self.failed = dict(failed)


class SubmissionUncertainError(JobError):
    """The create request may or may not have been accepted: its answer was lost. It is not sent again on its own."""

    code = "submission_uncertain"

    def __init__(self, *, job: Job, reason: str, hint: str = "") -> None:
        super().__init__(
            f"The answer to the create request was lost ({reason}), so the job may have been accepted and billed.",
            job=job,
            hint=hint or "It was not sent again. Look at the provider's own list before you start a new job.",
            maybe_billed=True,
        )


class OutputExpiredError(JobError):
    """The provider deleted the output before it could be fetched."""

    code = "output_expired"
    http_status = 410


class NoMediaError(JobError):
    """The provider reported success without any media."""

    code = "no_media"


# -- the bytes ---------------------------------------------------------------------------------------------------------


class TransferError(MediaError):
    """The output exists at the provider and its bytes did not make it."""

    code = "transfer"
    exit_code = 6
    http_status = 502
    user_message = "The generated media could not be transferred."


class UnsafeURLError(TransferError):
    """A URL that must not be fetched: not https, private address, or a host that is not allowed."""

    code = "unsafe_url"


class DownloadError(TransferError):
    """The bytes could not be fetched completely. `status` is the HTTP status if there was one."""

    code = "download"

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        hint: str = "",
        provider: str = "",
        retryable: bool = False,
    ) -> None:
        super().__init__(message, hint=hint, provider=provider, retryable=retryable, maybe_billed=True)
        self.status = status


class BadMediaError(TransferError):
    """The bytes are not a complete file of the kind that was asked for. Nothing was stored."""

    code = "bad_media"


# -- your bucket -------------------------------------------------------------------------------------------------------


class StorageError(MediaError):
    """The storage refused or failed."""

    code = "storage"
    exit_code = 7
    user_message = "The generated media could not be stored."


class UploadError(StorageError):
    """The object could not be written."""

    code = "upload"


class StorageCredentialError(StorageError):
    """The storage does not accept the credentials, or they may not do this."""

    code = "storage_credential"


class BucketNotFoundError(StorageError):
    """The bucket (or the local folder) is not there."""

    code = "bucket_not_found"


# -- the record of jobs ------------------------------------------------------------------------------------------------


class LedgerError(MediaError):
    """The ledger could not be read or written. Nothing is sent to a provider without it."""

    code = "ledger"
    exit_code = 8
    http_status = 503
    user_message = "The job could not be recorded."
