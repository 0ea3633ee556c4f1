"""How a prediction becomes a job's state: recorded ones, and every form that the facts name."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifs_media._http import Answer
from aifs_media.errors import UnexpectedResponseError
from aifs_media.providers._reading import moment
from aifs_media.providers._replicate_states import files_in, page_of, prediction_of, progress, state_of
from aifs_media.records import Failed, InlineFile, Pending, Price, RemoteFile, Succeeded

FIXTURES = Path(__file__).parents[1] / "fixtures" / "replicate"
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
LINK = "https://replicate.delivery/xezq/abc/out-0.webp"
PNG = base64.b64encode(b"\x89PNG").decode()
GPU = Price(amount=Decimal("0.0014"), per="gpu_second", source="a test", as_of="2026-11-22")

FILES = {
    "cjwbw/clip-vit-large-patch14": 0,
    "meta/meta-llama-guard-2-8b": 0,
    "zsxkib/idefics3": 0,
    "nvidia/prismer": 0,
    "lucataco/apollo-7b": 0,
    "zsxkib/jina-clip-v2": 0,
    "fofr/face-to-sticker": 2,
    "cjwbw/aniportrait-audio2vid": 2,
    "meta/sam-2": 47,
    "fofr/sdxl-color": 4,
    "anotherjesse/streaming-sdxl": 11,
}
"""Models of the recorded predictions -> the number of files they made; all others made one."""


def recorded() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FIXTURES / "predictions.jsonl").read_text("utf-8").splitlines()]


def exchanges(path: str) -> list[dict[str, Any]]:
    lines = (FIXTURES / "exchanges.jsonl").read_text("utf-8").splitlines()
    return [one["response"] for one in map(json.loads, lines) if path in one["request"]["url"]]


def prediction(**members: Any) -> dict[str, Any]:
    return {"id": "p" * 26, "status": "succeeded", "output": [LINK], **members}


def answer(body: object, status: int = 200) -> Answer:
    return Answer(status, {}, body.encode() if isinstance(body, str) else json.dumps(body).encode(), "replicate")


def links(output: object) -> list[str]:
    found = files_in(output, expires_at=NOW)  # type: ignore[arg-type]
    return [one.url if isinstance(one, RemoteFile) else one.media_type for one in found]


@pytest.mark.parametrize("one", recorded(), ids=lambda one: one["model"])
def test_recorded_predictions(one: dict[str, Any]) -> None:
    """Each recorded prediction gives its files in their order, or says that it made none."""
    state = state_of(one, now=NOW)
    expected = FILES.get(one["model"], 1)
    assert state.ref == one["id"]
    if expected == 0:
        assert isinstance(state, Failed)
        assert (state.reason, state.billed) == ("no_media", "yes")
        return
    assert isinstance(state, Succeeded)
    assert [output.url for output in state.outputs if isinstance(output, RemoteFile)] == [
        text for text in json.dumps(one["output"]).split('"') if text.startswith("https://")
    ]
    assert len(state.outputs) == expected
    ended = datetime.fromisoformat(one["completed_at"])
    assert {output.expires_at for output in state.outputs if isinstance(output, RemoteFile)} == {
        ended + timedelta(hours=1)
    }


def test_recorded_seed_and_gpu_seconds() -> None:
    """The seed is the one that the model was sent, and GPU seconds have their price."""
    one = next(one for one in recorded() if one["model"] == "lucataco/sdxl-niji-se")
    state = state_of(one, now=NOW, price=GPU)
    assert isinstance(state, Succeeded)
    assert state.seed == 201961
    assert state.cost is not None
    assert (state.cost.amount, state.cost.quantity) == (Decimal("0.0014") * Decimal("4.119362"), 4.119362)
    assert (state.cost.status, state.cost.basis) == ("estimated", "gpu_second")


@pytest.mark.parametrize("price", [None, GPU.model_copy(update={"per": "image"})])
def test_cost_is_unknown_rather_than_nothing(price: Price | None) -> None:
    """Without a price per GPU second the prediction does not tell the cost, and nothing is made up."""
    state = state_of(prediction(metrics={"predict_time": 2.0}), now=NOW, price=price)
    assert isinstance(state, Succeeded)
    assert state.cost is None


def test_recorded_held_create() -> None:
    """A held create answers `processing` with all files there: that is the end of the job."""
    body = json.loads((FIXTURES / "sync_processing_with_output.json").read_text("utf-8"))["body"]
    state = state_of(body, now=NOW, held_files=1)
    assert isinstance(state, Succeeded)
    assert state.outputs == (RemoteFile(url=body["output"][0], expires_at=NOW + timedelta(hours=1)),)


@pytest.mark.parametrize("output", [None, [], [LINK], "", "text"])
def test_held_create_without_all_files_goes_on(output: object) -> None:
    """Fewer files than asked for may be a list that still grows."""
    state = state_of(prediction(status="processing", output=output), now=NOW, held_files=2)
    assert isinstance(state, Pending)


def test_output_absent() -> None:
    """Recorded creates have no member `output` at all."""
    body = prediction(status="processing")
    del body["output"]
    assert isinstance(state_of(body, now=NOW, held_files=1), Pending)


@pytest.mark.parametrize("status", ["starting", "processing", "hibernating", None])
def test_poll_of_a_running_job_is_pending(status: str | None) -> None:
    """Outside a held create, output of a job that has not ended counts for nothing; unknown statuses go on."""
    assert isinstance(state_of(prediction(status=status), now=NOW), Pending)
    if status != "processing":
        assert isinstance(state_of(prediction(status=status), now=NOW, held_files=1), Pending)


def test_recorded_creates_and_cancel() -> None:
    """Recorded creates are pending under their id, and the recorded cancel is a job that was billed."""
    created = [json.loads(one["body"]) for one in exchanges("/predictions") if one["status"] == 201]
    assert len(created) >= 5
    for body in created:
        assert state_of(body, now=NOW) == Pending(ref=body["id"])
    (cancelled,) = [json.loads(one["body"]) for one in exchanges("/cancel")]
    state = state_of(cancelled, now=NOW, price=GPU)
    assert isinstance(state, Failed)
    assert (state.reason, state.billed) == ("canceled", "yes")
    assert state.cost is not None
    assert state.cost.quantity == 0.128148


def test_recorded_polls() -> None:
    """A recorded poll has its output, and its last progress bar is full."""
    for body in [json.loads(one["body"]) for one in exchanges("/predictions/vgcm4plb7tgzlyznry5d5jkgvu")]:
        state = state_of(body, now=NOW)
        assert isinstance(state, Succeeded)
        assert state.seed == 42069
        assert progress(body["logs"]) == 1.0


def test_pending_has_progress() -> None:
    """A running job says how far it is."""
    state = state_of(prediction(status="processing", logs=" 50%|█████ | 2/4 [00:01<00:01]"), now=NOW)
    assert isinstance(state, Pending)
    assert state.progress == 0.5


def test_progress() -> None:
    """The last bar counts, and there may be none."""
    assert progress("  0%|    | 0/4 [00:00<?]\n 75%|███ | 3/4 [00:00<00:00]\n") == 0.75
    assert progress("Using seed: 5\n100% done") is None
    assert progress(None) is None
    assert progress("999%|") == 1.0


@pytest.mark.parametrize(
    ("words", "reason", "retryable"),
    [
        ("All generated images contained NSFW content. Try again with a different prompt.", "content_rejected", False),
        ("NSFW content detected. Try running it again.", "content_rejected", False),
        ("The input or output was flagged as sensitive. (E005)", "content_rejected", False),
        ("Prediction interrupted; please retry (code: PA)", "generation_failed", True),
        ("Director: unexpected error handling prediction (E6716)", "generation_failed", True),
        ("unknown error (E1000)", "generation_failed", True),
        ("CUDA out of memory (E1001)", "generation_failed", False),
        ("Prediction timed out", "generation_failed", False),
        (None, "generation_failed", False),
    ],
)
def test_failures(words: str | None, reason: str, retryable: bool) -> None:  # noqa: FBT001 - one table
    """A failure says whether the content was refused, and whether a new job may succeed."""
    state = state_of(prediction(status="failed", output=None, error=words), now=NOW)
    assert isinstance(state, Failed)
    assert (state.reason, state.retryable, state.billed) == (reason, retryable, "unknown")
    assert (words or "no reason given") in state.message


def test_failure_text_shows_no_signed_query() -> None:
    """Texts from outside lose the queries of their URLs."""
    state = state_of(
        prediction(status="failed", error="cannot read https://bucket.test/a.png?X-Signature=secret"), now=NOW
    )
    assert isinstance(state, Failed)
    assert "secret" not in state.message


def test_aborted_is_an_end_without_a_bill() -> None:
    """`aborted`, which older clients do not know, ends the job; it never ran."""
    state = state_of(prediction(status="aborted", output=None), now=NOW)
    assert isinstance(state, Failed)
    assert (state.reason, state.billed, state.retryable) == ("canceled", "no", True)


def test_cancelled_in_the_queue_may_be_free() -> None:
    """Without a time of start nothing says whether a cancelled job is billed."""
    state = state_of(prediction(status="canceled", output=None), now=NOW)
    assert isinstance(state, Failed)
    assert state.billed == "unknown"


def test_removed_data_is_expired() -> None:
    """An hour later Replicate has dropped inputs and outputs: paid for, and gone."""
    state = state_of(prediction(output=None, input={}, logs="", data_removed=True), now=NOW)
    assert isinstance(state, Failed)
    assert (state.reason, state.billed) == ("expired", "yes")


def test_success_that_complains() -> None:
    """An error beside an output is a warning."""
    state = state_of(prediction(error="something odd"), now=NOW)
    assert isinstance(state, Succeeded)
    assert "something odd" in state.warnings[0]


@pytest.mark.parametrize(
    ("output", "found"),
    [
        (LINK, [LINK]),
        ([LINK, LINK + "2"], [LINK, LINK + "2"]),
        ({"video": LINK, "masks": [LINK + "1", {"deep": LINK + "2"}]}, [LINK, LINK + "1", LINK + "2"]),
        ([[LINK], [LINK]], [LINK, LINK]),
        ("http://127.0.0.1:1/out.png", ["http://127.0.0.1:1/out.png"]),
        (f"data:image/png;base64,{PNG}", ["image/png"]),
        (f"data:application/octet-stream;base64,{PNG}", ["application/octet-stream"]),
        ("data:image/svg+xml;charset=utf-8,%3Csvg%2F%3E", ["image/svg+xml"]),
        (f"data:;base64,{PNG}", [""]),
        ("data:image/png;base64,???", []),
        ("data:image/png;base64,", []),
        ("data: is the new oil", []),
        ("see https://example.com for more", []),
        ([1, 2.5, None, True, "text"], []),
        ({}, []),
    ],
)
def test_files_of_every_shape(output: object, found: list[str]) -> None:
    """Links and data URIs are found in any nesting, and nothing else is."""
    assert links(output) == found


@given(st.binary(min_size=1, max_size=200), st.sampled_from(["base64", "percent", "base64 with lines"]))
def test_data_uris_keep_every_byte(data: bytes, how: str) -> None:
    """What goes into a data URI comes out of it."""
    encoded = base64.encodebytes(data).decode() if how == "base64 with lines" else base64.b64encode(data).decode()
    text = "".join(f"%{byte:02X}" for byte in data) if how == "percent" else encoded
    uri = f"data:image/png{'' if how == 'percent' else ';base64'},{text}"
    assert list(files_in(uri, expires_at=NOW)) == [InlineFile(data=data, media_type="image/png")]


@pytest.mark.parametrize("digits", range(10))
def test_times_of_any_precision(digits: int) -> None:
    """Times have 3 to 9 digits after the point; what is finer than a microsecond is dropped."""
    fraction = "123456789"[:digits]
    expected = datetime(2025, 1, 8, 13, 24, 38, int(fraction[:6].ljust(6, "0")), tzinfo=UTC)
    assert moment(f"2025-01-08T13:24:38{'.' if digits else ''}{fraction}Z") == expected
    assert moment("yesterday") is None
    assert moment(None) is None


@pytest.mark.parametrize(
    ("body", "status"),
    [("<html>", 200), ('{"id":"a","sta', 201), ([], 200), ({"status": "starting"}, 201), (prediction(), 302)],
)
def test_no_prediction_in_the_answer(body: object, status: int) -> None:
    """An answer without a prediction is an error, and says nothing about the job."""
    with pytest.raises(UnexpectedResponseError) as caught:
        prediction_of(answer(body, status))
    assert caught.value.retryable


def test_duplicate_key_is_read() -> None:
    """A recorded answer had the key `model` twice."""
    assert prediction_of(answer('{"id":"a","model":"x/y","model":"x/y","status":"starting"}\n'))["model"] == "x/y"


def test_a_page_that_is_none() -> None:
    """Without a list nobody can say that a job is not in it."""
    whole = {"next": None, "previous": None, "results": [prediction()]}
    assert page_of(answer(whole)) == ([prediction()], None)
    assert page_of(answer({**whole, "next": "https://x/y"})) == ([prediction()], "https://x/y")
    for odd in (
        {"detail": "odd"},
        [],
        {**whole, "results": None},
        {"results": [prediction()]},
        {**whole, "next": {"url": "https://x/y"}},
        {**whole, "next": 0},
        {**whole, "next": False},
        *(
            {**whole, "results": [prediction(), one]}
            for one in ({"no": "id"}, {"id": 5}, {"id": ""}, {"id": None}, "x", None)
        ),
    ):
        with pytest.raises(UnexpectedResponseError) as unclear:
            page_of(answer(odd))
        assert unclear.value.retryable


@pytest.mark.parametrize("seconds", [-1.5, True, float("nan"), float("inf"), 10**400, "3", None, [1]])
def test_gpu_seconds_that_cannot_be(seconds: object) -> None:
    """The cost is not known then, and the output is kept."""
    state = state_of(
        prediction(status="succeeded", output=[LINK], metrics={"predict_time": seconds}), now=NOW, price=GPU
    )
    assert isinstance(state, Succeeded)
    assert state.cost is None


def test_an_odd_member_does_not_cost_the_output() -> None:
    """Neither a seed, nor a time, nor a link that is none beside a good one, nor an endless nesting."""
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    odd = {"input": {"seed": 10**400}, "completed_at": "9999-12-31T23:59:59-23:59", "logs": 5, "error": deep}
    state = state_of(prediction(status="succeeded", output=["http://[", LINK, deep, "data:\ud800,x"], **odd), now=NOW)
    assert isinstance(state, Succeeded)
    assert state.outputs == (RemoteFile(url=LINK, expires_at=NOW + timedelta(hours=1)),)
    assert state.seed is None
