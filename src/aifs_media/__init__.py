"""aifs-media: from a prompt to a media asset that is yours.

asset = await MediaGenerator.from_env().image("A serene mountain landscape at sunset")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aifs_media._version import __version__

if TYPE_CHECKING:
    from aifs_media.errors import (
        AuthenticationError,
        BadMediaError,
        BucketNotFoundError,
        ConfigurationError,
        ContentRejectedError,
        DownloadError,
        GenerationFailedError,
        GenerationTimeoutError,
        JobCanceledError,
        JobConflictError,
        JobError,
        JobNotFoundError,
        LedgerError,
        MediaError,
        MissingCredentialError,
        ModelRetiredError,
        NoMediaError,
        OutputExpiredError,
        PartialResultError,
        PaymentRequiredError,
        PluginError,
        ProviderError,
        ProviderUnavailableError,
        RateLimitedError,
        RequestRejectedError,
        StaleJobError,
        StorageCredentialError,
        StorageError,
        SubmissionUncertainError,
        TransferError,
        UnexpectedResponseError,
        UnknownProviderError,
        UnsafeURLError,
        UnsupportedOptionError,
        UploadError,
        WebhookRefusedError,
    )
    from aifs_media.generator import MediaGenerator
    from aifs_media.records import (
        Asset,
        Capability,
        Caption,
        Check,
        Cost,
        HealthReport,
        Job,
        MediaRequest,
        ObjectURL,
        Script,
        Size,
        TextResult,
    )
    from aifs_media.recovery import RecoveryReport
    from aifs_media.settings import Settings
    from aifs_media.sync import SyncMediaGenerator

_MODULES = {
    "aifs_media.errors": (
        "AuthenticationError",
        "BadMediaError",
        "BucketNotFoundError",
        "ConfigurationError",
        "ContentRejectedError",
        "DownloadError",
        "GenerationFailedError",
        "GenerationTimeoutError",
        "JobCanceledError",
        "JobConflictError",
        "JobError",
        "JobNotFoundError",
        "LedgerError",
        "MediaError",
        "MissingCredentialError",
        "ModelRetiredError",
        "NoMediaError",
        "OutputExpiredError",
        "PartialResultError",
        "PaymentRequiredError",
        "PluginError",
        "ProviderError",
        "ProviderUnavailableError",
        "RateLimitedError",
        "RequestRejectedError",
        "StaleJobError",
        "StorageCredentialError",
        "StorageError",
        "SubmissionUncertainError",
        "TransferError",
        "UnexpectedResponseError",
        "UnknownProviderError",
        "UnsafeURLError",
        "UnsupportedOptionError",
        "UploadError",
        "WebhookRefusedError",
    ),
    "aifs_media.generator": ("MediaGenerator",),
    "aifs_media.records": (
        "Asset",
        "Capability",
        "Caption",
        "Check",
        "Cost",
        "HealthReport",
        "Job",
        "MediaRequest",
        "ObjectURL",
        "Script",
        "Size",
        "TextResult",
    ),
    "aifs_media.recovery": ("RecoveryReport",),
    "aifs_media.settings": ("Settings",),
    "aifs_media.sync": ("SyncMediaGenerator",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = (
    "Asset",
    "AuthenticationError",
    "BadMediaError",
    "BucketNotFoundError",
    "Capability",
    "Caption",
    "Check",
    "ConfigurationError",
    "ContentRejectedError",
    "Cost",
    "DownloadError",
    "GenerationFailedError",
    "GenerationTimeoutError",
    "HealthReport",
    "Job",
    "JobCanceledError",
    "JobConflictError",
    "JobError",
    "JobNotFoundError",
    "LedgerError",
    "MediaError",
    "MediaGenerator",
    "MediaRequest",
    "MissingCredentialError",
    "ModelRetiredError",
    "NoMediaError",
    "ObjectURL",
    "OutputExpiredError",
    "PartialResultError",
    "PaymentRequiredError",
    "PluginError",
    "ProviderError",
    "ProviderUnavailableError",
    "RateLimitedError",
    "RecoveryReport",
    "RequestRejectedError",
    "Script",
    "Settings",
    "Size",
    "StaleJobError",
    "StorageCredentialError",
    "StorageError",
    "SubmissionUncertainError",
    "SyncMediaGenerator",
    "TextResult",
    "TransferError",
    "UnexpectedResponseError",
    "UnknownProviderError",
    "UnsafeURLError",
    "UnsupportedOptionError",
    "UploadError",
    "WebhookRefusedError",
    "__version__",
)

if not TYPE_CHECKING:
    # Hidden from type checkers, which would otherwise accept any misspelt name.
    def __getattr__(name: str) -> object:
        if name not in _HOME:
            raise AttributeError(f"module 'aifs_media' has no attribute {name!r}")
        import importlib

        return getattr(importlib.import_module(_HOME[name]), name)

    def __dir__() -> list[str]:
        return list(__all__)
