"""Every error can be pickled, says what to do, and is drawn in the docstring."""

from __future__ import annotations

import inspect
import pickle

import pytest

from aifs_media import errors
from aifs_media.records import Job, MediaRequest, utc_now

CLASSES = [found for _, found in inspect.getmembers(errors, inspect.isclass) if issubclass(found, errors.MediaError)]
JOB = Job(
    job_id="j1",
    request=MediaRequest(kind="image", prompt="a fox", provider="replicate", model="m"),
    created_at=utc_now(),
    timeout=60,
    lifetime=70,
    on_cancel="cancel",
)
SAMPLES: list[errors.MediaError] = [
    errors.MissingCredentialError(label="Replicate", setting="REPLICATE_API_KEY", provider="replicate"),
    errors.UnknownProviderError("replicat", known=["poe", "replicate"]),
    errors.PluginError(name="x", distribution="d 1", entry_point="d:x", reason="ImportError: no"),
    errors.UnsupportedOptionError("no", option="fps", model="replicate:m", hint="leave it out"),
    errors.ModelRetiredError("gone", model="replicate:m", suggestions=["replicate:n"]),
    errors.JobConflictError("j1"),
    errors.PaymentRequiredError(
        label="Replicate", billing_url="https://replicate.com/account/billing", provider="replicate"
    ),
    errors.GenerationTimeoutError(job=JOB, timeout=60, outcome="it goes on."),
    errors.PartialResultError(job=JOB, assets=[], failed={1: errors.BadMediaError("cut")}),
    errors.SubmissionUncertainError(job=JOB, reason="reset"),
    errors.DownloadError("no", status=404),
]


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_pickle_keeps_everything(error: errors.MediaError) -> None:
    """Durable engines pickle errors; type, text and fields come back."""
    error.request_id = "r1"
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert str(back).endswith("(request id r1)")
    same = {key: value for key, value in vars(error).items() if key != "failed"}
    assert {key: value for key, value in vars(back).items() if key != "failed"} == same


def test_docstring_draws_every_class() -> None:
    """The tree in the module's docstring names all classes, each below its parent."""
    drawn = [
        line.strip("| +-").split()[0]
        for line in (errors.__doc__ or "").splitlines()
        if "Error " in line and ("+--" in line or line.startswith("    MediaError"))
    ]
    assert sorted(drawn) == sorted(found.__name__ for found in CLASSES)


def test_codes_are_unique_and_exit_codes_set() -> None:
    """Machines tell errors apart by code; command lines by exit code."""
    codes = [found.code for found in CLASSES]
    assert len(codes) == len(set(codes))
    assert all(0 < found.exit_code < 64 for found in CLASSES)


def test_the_three_known_texts() -> None:
    """Users of the earlier product know these sentences."""
    missing, paid, late = SAMPLES[0], SAMPLES[6], SAMPLES[7]
    assert str(missing).startswith(
        "Replicate API key is required for image/video generation. Please configure REPLICATE_API_KEY in your environment."
    )
    assert str(paid).startswith(
        "Replicate account has insufficient credits. Please add credits at https://replicate.com/account/billing"
    )
    assert str(late).startswith("Prediction timeout - generation took too long")


def test_unknown_provider_guesses() -> None:
    """A near miss is answered with the name that was meant."""
    assert "Did you mean 'replicate'?" in str(SAMPLES[1])
