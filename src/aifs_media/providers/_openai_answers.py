"""From answers of OpenAI's image API, and of servers that copy it, to states and errors. Pure.

Only `created` is sure in an answer, and only `error.message` in a refusal: recorded refusals leave `type`, `code` and `param`
null, and what one word means may come under several statuses. So codes are read first, and then the words.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin, urlsplit

from aifs_media._inline import decode, extract
from aifs_media.errors import AuthenticationError, RateLimitedError
from aifs_media.providers._reading import link, text, whole
from aifs_media.toolkit import (
    ContentRejectedError,
    Cost,
    Failed,
    InlineFile,
    ModelRetiredError,
    PaymentRequiredError,
    RemoteFile,
    Succeeded,
    UnexpectedResponseError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aifs_media._inline import Extracted
    from aifs_media.toolkit import Answer, JsonValue, MediaError, MediaRequest, Output

CREATE_TIMEOUT = 600.0
"""Seconds to hold a create open where the job has no lifetime; OpenAI's own client for Python waits as long."""

HOLD_MARGIN = 10.0
EXCERPT = 300
_QUOTA_CODES = {"insufficient_quota", "billing_hard_limit_reached"}
_MODERATION = re.compile(r"moderation_blocked|content_policy|content_filter|safety system", re.IGNORECASE)
_NO_ACCESS = re.compile(r"\bLimit:? 0(?![.\d])")
"""A rate limit of none at all, as in `Limit: 0/1min`: waiting does not help."""

_MILLISECONDS = re.compile(r"[0-9]{1,12}")
_UNVERIFIED = "must be verified"
_MILLION = Decimal(1_000_000)


class Vendor(NamedTuple):
    """Who answered: the provider's name, the name as people write it, and how to take secrets out of a text."""

    name: str
    label: str
    base_url: str
    billing_url: str
    redact: Callable[[str], str]


class Rates(NamedTuple):
    """Published USD for a million tokens, by `text_in`, `image_in`, `image_out` and `text_out`."""

    usd: Mapping[str, str]
    source: str
    as_of: str


def hold_seconds(request: MediaRequest) -> float:
    """Return how long to hold a create open: as long as the caller waits, or as the job may live without him, and a little more."""
    waits = [seconds for seconds in (request.timeout, request.lifetime) if seconds is not None]
    return max(waits, default=CREATE_TIMEOUT - HOLD_MARGIN) + HOLD_MARGIN


# -- pictures ----------------------------------------------------------------------------------------------------------


def images_state(answer: Answer, vendor: Vendor, *, rates: Rates | None = None) -> Succeeded | Failed:
    """Return how a create ended that was answered below 300; it need not hold any picture.

    Raises:
        UnexpectedResponseError: it is no answer of this API. It may be billed.
    """
    try:
        body = extract(answer.body, "b64_json")
    except (ValueError, RecursionError) as error:
        raise _unexpected(answer, vendor) from error
    members = body.rest if isinstance(body.rest, dict) else {}
    if (failure := _error_member(members)) is not None:
        return _failed(failure, vendor)
    if not members.keys() & {"data", "created"}:
        raise _unexpected(answer, vendor)
    listed = members.get("data")
    items = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    found = [_output(item, body, members, vendor) for item in items]
    outputs = tuple(output for output in found if output is not None)
    # xAI marks so what its moderation withholds, in an answer that otherwise looks like a success.
    withheld = sum(item.get("respect_moderation") is False for item in items)
    if withheld and not outputs:
        message = f"{vendor.label} withheld what it made, by its moderation."
        return Failed(reason="content_rejected", message=message, billed="unknown")
    warning = f"{vendor.label} withheld {withheld} of {len(items)} images, by its moderation."
    return Succeeded(
        outputs=outputs,
        cost=_cost(members.get("usage"), rates),
        warnings=(warning,) if withheld else (),
        emulated=answer.emulated,
    )


def _output(
    item: dict[str, JsonValue], body: Extracted, members: dict[str, JsonValue], vendor: Vendor
) -> Output | None:
    form = members.get("output_format")
    media_type = f"image/{form}" if isinstance(form, str) and form.isalpha() else ""
    data, url = body.file(item.get("b64_json")), text(item.get("url"))
    if data is None and url.startswith("data:"):
        data = decode(memoryview(url.encode()))
    elif data is None and link(url):
        whole = urljoin(f"{vendor.base_url}/", url)
        same = urlsplit(whole)[:2] == urlsplit(vendor.base_url)[:2]
        return RemoteFile(url=whole, auth="provider" if same else "none")
    return InlineFile(data=data, media_type=media_type) if data else None


def _cost(usage: JsonValue, rates: Rates | None) -> Cost | None:
    """Return what the reported tokens cost at the published rates; None where either is not known.

    Tokens that come from a cache are cheaper and are not told apart in an answer, so that the estimate is an upper bound.
    """
    if not isinstance(usage, dict) or rates is None:
        return None
    read, made = _tokens(usage, "input_tokens"), _tokens(usage, "output_tokens")
    if read is None or made is None:
        return None
    image_in = min(_tokens(usage.get("input_tokens_details"), "image_tokens") or 0, read)
    text_out = (
        min(_tokens(usage.get("output_tokens_details"), "text_tokens") or 0, made) if "text_out" in rates.usd else 0
    )
    counted = {"text_in": read - image_in, "image_in": image_in, "image_out": made - text_out, "text_out": text_out}
    amount = sum((number * Decimal(rates.usd[kind]) for kind, number in counted.items() if number), Decimal(0))
    return Cost(
        amount=amount / _MILLION,
        basis="tokens",
        quantity=read + made,
        status="estimated",
        source=rates.source,
        as_of=rates.as_of,
    )


def _tokens(members: JsonValue, name: str) -> int | None:
    counted = whole(members.get(name)) if isinstance(members, dict) else None
    return counted if counted is not None and counted >= 0 else None


# -- errors ------------------------------------------------------------------------------------------------------------


def failed_generation(answer: Answer, vendor: Vendor) -> Failed | None:
    """Return the failure that a refusal reports, or None where nothing was made.

    Moderation of what was made comes after the whole wait, and nobody says whether it is free. Only a refusal that names the
    input as its stage surely came before anything was made.
    """
    error = _error_member(answer.json_or_none()) if 400 <= answer.status < 500 else None
    return _failed(error, vendor) if error is not None and _is_moderation(error) and _stage(error) != "input" else None


def refusal(answer: Answer, vendor: Vendor) -> MediaError | None:
    """Return the error that only the vendor's words tell, or None. An unknown model is one without suggestions."""
    error = _error_member(answer.json_or_none()) or {}
    words, status = _words(error, vendor), answer.status
    signs = {str(error.get("code")), str(error.get("type"))}
    if (status in {400, 429} and signs & _QUOTA_CODES) or (status == 412 and "suspended" in words):
        found: MediaError = PaymentRequiredError(
            label=vendor.label, billing_url=vendor.billing_url, provider=vendor.name, detail=words
        )
    elif status == 429:
        found = _rate_limited(answer, words, vendor)
    elif status in {400, 403} and _is_moderation(error):
        found = ContentRejectedError(_moderated(error, vendor), hint="Change the prompt.", provider=vendor.name)
    elif status in {400, 403, 404} and _UNVERIFIED in words:
        found = AuthenticationError(
            f"{vendor.label} opens this model to verified organizations only (HTTP {status}). {vendor.label} says: {words}",
            hint="Verify the organization at https://platform.openai.com/settings/organization/general; it may take 15 minutes.",
            provider=vendor.name,
        )
    elif (status in {400, 404} and (error.get("code") == "model_not_found" or error.get("param") == "model")) or (
        status == 404 and "model" in words
    ):
        found = ModelRetiredError(f"{vendor.label} does not know the model: {words}", model="", provider=vendor.name)
    else:
        return None
    found.request_id = answer.request_id
    return found


def _rate_limited(answer: Answer, words: str, vendor: Vendor) -> RateLimitedError:
    none_at_all = _NO_ACCESS.search(words) is not None
    milliseconds = answer.headers.get("retry-after-ms", "")
    wait = float(milliseconds) / 1000 if _MILLISECONDS.fullmatch(milliseconds) else answer.retry_after
    return RateLimitedError(
        f"{vendor.label} limits the rate of requests (HTTP 429). {vendor.label} says: {words}",
        hint="The account may make no images at all with this model: waiting does not help."
        if none_at_all
        else "Send fewer at a time, or wait and try again.",
        provider=vendor.name,
        retryable=not none_at_all and answer.headers.get("x-should-retry") != "false",
        retry_after=wait,
    )


def _is_moderation(error: dict[str, JsonValue]) -> bool:
    return any(_MODERATION.search(str(error.get(member))) for member in ("code", "type", "message"))


def _stage(error: dict[str, JsonValue]) -> str:
    details = error.get("moderation_details")
    return str(details.get("moderation_stage", "")) if isinstance(details, dict) else ""


def _moderated(error: dict[str, JsonValue], vendor: Vendor) -> str:
    details, stage = error.get("moderation_details"), _stage(error)
    listed = details.get("categories") if isinstance(details, dict) else None
    categories = ", ".join(map(str, listed)) if isinstance(listed, list) else ""
    what = {"input": "the request", "output": "what it had made"}.get(stage, "the request or what came of it")
    about = f" ({vendor.redact(categories)})" if categories else ""
    return f"{vendor.label}'s moderation refused {what}{about}. {vendor.label} says: {_words(error, vendor)}"


def _failed(error: dict[str, JsonValue], vendor: Vendor) -> Failed:
    if _is_moderation(error):
        return Failed(reason="content_rejected", message=_moderated(error, vendor), billed="unknown")
    message = f"{vendor.label} failed: {_words(error, vendor) or 'no reason given'}"
    return Failed(reason="generation_failed", message=message, billed="unknown", retryable=True)


def _unexpected(answer: Answer, vendor: Vendor) -> UnexpectedResponseError:
    return UnexpectedResponseError(
        f"{vendor.label} answered a create with what is no list of images (HTTP {answer.status}).",
        hint="Look whether it was charged before you try again.",
        provider=vendor.name,
        request_id=answer.request_id,
        maybe_billed=True,
    )


def _error_member(body: JsonValue) -> dict[str, JsonValue] | None:
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, str) and error:
        return {"message": error}
    return error if isinstance(error, dict) and error else None


def _words(error: dict[str, JsonValue], vendor: Vendor) -> str:
    """Return the vendor's own words, fit for an error message."""
    message = error.get("message")
    line = " ".join(vendor.redact(message).split()) if isinstance(message, str) else ""
    return line if len(line) <= EXCERPT else f"{line[: EXCERPT - 1]}…"


# -- models ------------------------------------------------------------------------------------------------------------


def listed_models(body: JsonValue) -> list[str]:
    """Return the ids of `GET /models`; none where the answer lists nothing."""
    listed = body.get("data") if isinstance(body, dict) else None
    ids = [item.get("id") for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    return [name for name in ids if isinstance(name, str)]
