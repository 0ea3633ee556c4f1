"""From a prediction, which is Replicate's word for a job, to the job's state. Pure.

Facts: Replicate's OpenAPI file of 2026-03-16, the pages on the lifecycle of predictions, on data retention and on error
codes at replicate.com/docs, and recorded predictions, which hold less than the OpenAPI file says is required.
"""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from aifs_media import _secrets
from aifs_media._data_uris import inline_file
from aifs_media.providers._reading import amount, link, moment, shown, text, whole
from aifs_media.toolkit import (
    Cost,
    Failed,
    JsonValue,
    Output,
    Pending,
    RemoteFile,
    Succeeded,
    UnexpectedResponseError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from aifs_media.records import Billed
    from aifs_media.toolkit import Answer, Price

Prediction = dict[str, JsonValue]

ENDED = frozenset({"succeeded", "failed", "canceled", "aborted"})
"""Statuses after which nothing changes. Any other one, known or not, means that the job goes on."""

OUTPUTS_KEPT = timedelta(hours=1)
WORDS_IN_MESSAGES = 500
DEEPEST_OUTPUT = 20
"""Levels of an output below which nobody puts a file."""

_REFUSED_CONTENT = re.compile(r"NSFW|\bE005\b|flagged as sensitive", re.IGNORECASE)
# Unknown error, time-out at the start, interrupted. E1001, out of memory, would only come again.
_WORTH_ANOTHER_JOB = re.compile(r"\bE1000\b|\bE6716\b|\(code: PA\)")
_PERCENT = re.compile(r"(\d{1,3})%\|")
_LINK = re.compile(r"https?://\S+")


def prediction_of(answer: Answer) -> Prediction:
    """Return the prediction that an answer holds.

    Raises:
        UnexpectedResponseError: it holds none; retryable, since a broken answer says nothing about the job.
    """
    body = answer.json_or_none()
    if not 200 <= answer.status < 300 or not isinstance(body, dict) or not text(body.get("id")):
        raise UnexpectedResponseError(
            f"Replicate answered HTTP {answer.status} without a prediction.",
            hint="A proxy in between may have answered instead.",
            provider=answer.provider,
            request_id=answer.request_id,
            retryable=True,
        )
    return body


def page_of(answer: Answer) -> tuple[list[Prediction], str | None]:
    """Return the predictions on a page of the list, and the address of the next page.

    Raises:
        UnexpectedResponseError: it is no page, or says not clearly what is on it and whether another follows: what is missing
            there counts as never made, and would be paid for again.
    """
    body = answer.json()
    page = body if isinstance(body, dict) else {}
    results, following = page.get("results"), page.get("next")
    listed = (
        [one for one in results if isinstance(one, dict) and text(one.get("id"))] if isinstance(results, list) else []
    )
    goes_on = "next" in page and (following is None or isinstance(following, str))
    if not isinstance(results, list) or len(listed) < len(results) or not goes_on:
        raise UnexpectedResponseError(
            "Replicate answered without a whole list of predictions.",
            provider=answer.provider,
            request_id=answer.request_id,
            retryable=True,
        )
    return listed, following if isinstance(following, str) else None


def state_of(
    prediction: Prediction,
    *,
    now: datetime,
    held_files: int = 0,
    price: Price | None = None,
    emulated: bool = False,
    redact: Callable[[str], str] = _secrets.redact,
) -> Pending | Succeeded | Failed:
    """Return how a job stands.

    Args:
        prediction: as `prediction_of` returns it, or as a list or webhook holds it.
        now: the present time, from which outputs without a time of completion are counted as kept.
        held_files: the number of files that were asked for, where this answers a held create: that may still say
            `processing` when all files are there. Everywhere else 0, since a list of outputs grows while the model runs.
        price: the model's price, for the cost where GPU seconds are billed.
        emulated: whether the emulator answered.
        redact: takes out of Replicate's words what must not be told.
    """
    ref, status = prediction["id"], prediction.get("status")
    cost = _gpu_cost(prediction, price)
    if status == "succeeded" or (status == "processing" and held_files):
        outputs = tuple(files_in(prediction.get("output"), expires_at=_ended_at(prediction, now) + OUTPUTS_KEPT))
        if outputs and (status == "succeeded" or len(outputs) >= held_files):
            return Succeeded(
                outputs=outputs,
                ref=ref,
                cost=cost,
                seed=_seed(prediction),
                warnings=_complaints(prediction, redact),
                emulated=emulated,
            )
    match status:
        case "succeeded" if prediction.get("data_removed"):
            message = "Replicate has removed the output, which it keeps for about an hour."
            return Failed(reason="expired", message=message, ref=ref, cost=cost, billed="yes")
        case "succeeded":
            message = f"Replicate reports success, and there is no file in the output: {_excerpt(prediction.get('output'), redact)}"
            return Failed(reason="no_media", message=message, ref=ref, cost=cost, billed="yes")
        case "failed":
            return _failed(prediction, cost, redact)
        case "canceled":
            billed: Billed = "yes" if prediction.get("started_at") else "unknown"
            message = "The job was cancelled at Replicate, by a request or at its deadline."
            return Failed(reason="canceled", message=message, ref=ref, cost=cost, billed=billed)
        case "aborted":
            message = "Replicate ended the job before it ran, for example because its deadline came first."
            return Failed(reason="canceled", message=message, ref=ref, billed="no", retryable=True)
        case _:
            return Pending(ref=ref, progress=progress(prediction.get("logs")))


def _failed(prediction: Prediction, cost: Cost | None, redact: Callable[[str], str]) -> Failed:
    words = _excerpt(prediction.get("error"), redact) or "no reason given"
    if _REFUSED_CONTENT.search(words):
        message = f"Replicate's model refused the content: {words}"
        return Failed(reason="content_rejected", message=message, ref=prediction["id"], cost=cost)
    return Failed(
        reason="generation_failed",
        message=f"Replicate says that the generation failed: {words}",
        ref=prediction["id"],
        cost=cost,
        retryable=_WORTH_ANOTHER_JOB.search(words) is not None,
    )


def files_in(output: JsonValue, *, expires_at: datetime, depth: int = 0) -> Iterator[Output]:
    """Yield the files of an output in their order, whatever its shape: text, list, object, or any nesting of them."""
    match output:
        case str() if _LINK.fullmatch(output):
            if link(output):
                yield RemoteFile(url=output, expires_at=expires_at)
        case str() if (file := inline_file(text(output))) is not None:
            yield file
        case list() | dict() if depth < DEEPEST_OUTPUT:
            for member in output if isinstance(output, list) else output.values():
                yield from files_in(member, expires_at=expires_at, depth=depth + 1)
        case _:
            return


def progress(logs: JsonValue) -> float | None:
    """Return the share that is done, from the last progress bar in the logs: 0 to 1, or None."""
    if not isinstance(logs, str):
        return None
    bars = _PERCENT.findall(logs)
    return min(int(bars[-1]), 100) / 100 if bars else None


def inputs_of(prediction: Prediction) -> dict[str, JsonValue]:
    """Return the inputs as Replicate repeats them; empty after an hour, when it has removed them."""
    inputs = prediction.get("input")
    return inputs if isinstance(inputs, dict) else {}


def _ended_at(prediction: Prediction, now: datetime) -> datetime:
    return moment(prediction.get("completed_at")) or now


def _seed(prediction: Prediction) -> int | None:
    return whole(inputs_of(prediction).get("seed"))


def _complaints(prediction: Prediction, redact: Callable[[str], str]) -> tuple[str, ...]:
    """Return what a prediction complains of, though it succeeded: that was seen once in 3,808."""
    words = _excerpt(prediction.get("error"), redact)
    return (f"Replicate made the output, and says all the same: {words}",) if words else ()


def _gpu_cost(prediction: Prediction, price: Price | None) -> Cost | None:
    """Return what the GPU time cost. Prices for an image, a video or its seconds are counted on the files, not here."""
    metrics = prediction.get("metrics")
    seconds = amount(metrics.get("predict_time")) if isinstance(metrics, dict) else None
    if price is None or price.per != "gpu_second" or seconds is None:
        return None
    return Cost(
        amount=price.amount * Decimal(str(seconds)),
        currency=price.currency,
        basis="gpu_second",
        quantity=seconds,
        status="estimated",
        source=price.source,
        as_of=price.as_of,
    )


def _excerpt(value: JsonValue, redact: Callable[[str], str]) -> str:
    return redact(shown(value))[:WORDS_IN_MESSAGES].strip()
