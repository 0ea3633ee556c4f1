"""Scripted faults: on the wire, before and after the work, and in how a generation ends."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from aifs_media.testing.emulator import Emulator, Fault

if TYPE_CHECKING:
    from aifs_media.testing.emulator import Kind, Route

SCHNELL = "black-forest-labs/flux-schnell"


def create(client: httpx.Client, prompt: str = "a fox", **values: Any) -> httpx.Response:
    """Create with Flux Schnell."""
    return client.post("/predictions", json={"version": SCHNELL, "input": {"prompt": prompt, **values}})


def result(client: httpx.Client, **values: Any) -> dict[str, Any]:
    """Create, and return the prediction as it then is."""
    return dict(client.get(create(client, **values).json()["urls"]["get"]).json())


@pytest.mark.parametrize(("kind", "creates"), [("drop_before", 0), ("drop_after", 1)])
def test_a_lost_create(emulator: Emulator, replicate: httpx.Client, kind: Kind, creates: int) -> None:
    """The client sees the same reset; only the books know whether it was accepted."""
    emulator.fault("replicate.create", kind)
    with pytest.raises(httpx.ReadError):
        create(replicate)
    assert emulator.books().creates == creates
    assert emulator.books().requested("replicate.create")[0].status == 0
    assert create(replicate).status_code == 201


@pytest.mark.parametrize(("kind", "creates"), [("hang", 0), ("hang_after", 1)])
def test_silence(emulator: Emulator, replicate: httpx.Client, kind: Kind, creates: int) -> None:
    """No answer until the client gives up."""
    emulator.fault("replicate.create", kind)
    with pytest.raises(httpx.ReadTimeout):
        replicate.post("/predictions", json={"version": SCHNELL, "input": {"prompt": "x"}}, timeout=0.1)
    assert emulator.books().creates == creates


@pytest.mark.parametrize(("kind", "message"), [("half_body", "expected 1"), ("wrong_length", "received 1")])
def test_a_body_that_breaks_off(emulator: Emulator, replicate: httpx.Client, kind: Kind, message: str) -> None:
    """Fewer bytes than Content-Length promised."""
    whole = len(replicate.get("/account").content)
    emulator.fault("replicate.account", kind)
    with pytest.raises(httpx.RemoteProtocolError, match=f"{message}{str(whole)[1:]}|{message}"):
        replicate.get("/account")


def test_a_truncated_body_is_consistent(emulator: Emulator, replicate: httpx.Client) -> None:
    """Half the bytes under the right length: only looking at them tells."""
    whole = replicate.get("/account").content
    emulator.fault("replicate.account", "truncated")
    assert replicate.get("/account").content == whole[: len(whole) // 2]


def test_statuses_bring_the_recorded_bodies(emulator: Emulator, replicate: httpx.Client, poe: httpx.Client) -> None:
    """Each provider's own; HTML from the proxy in front."""
    emulator.fault("replicate.get", "status", status=402)
    assert replicate.get("/predictions/x").json()["title"] == "Insufficient credit"
    emulator.fault("replicate.get", "status", status=502)
    assert replicate.get("/predictions/x").headers["content-type"].startswith("text/html")
    emulator.fault("poe.chat", "status", status=529)
    assert poe.post("/chat/completions", json={}).json()["error"]["type"] == "overloaded_error"


def test_a_throttle_in_its_forms(emulator: Emulator, replicate: httpx.Client) -> None:
    """Body and header, header only, body only with `detail` alone."""
    emulator.fault("replicate.create", "status", status=429, headers={"retry-after": "3"})
    emulator.fault("replicate.create", "status", status=429, headers={"retry-after": "2"}, body="")
    emulator.fault("replicate.create", "status", status=429, body={"detail": "Request was throttled."})
    both, header, body = (create(replicate) for _ in range(3))
    assert (both.headers["retry-after"], both.json()["retry_after"]) == ("3", 5)
    assert (header.headers["retry-after"], header.content) == ("2", b"")
    assert body.json() == {"detail": "Request was throttled."}
    assert [one.status_code for one in (both, header, body)] == [429] * 3
    assert emulator.books().creates == 0


def test_a_fault_strikes_as_often_and_where_it_matches(emulator: Emulator, replicate: httpx.Client) -> None:
    """`match` is looked for in path, body, and the prompt of what the path names."""
    emulator.fault("replicate.get", "not_found_grace", times=2, match="a fox")
    fox, cat = (create(replicate, prompt).json()["urls"]["get"] for prompt in ("a fox", "a cat"))
    assert [replicate.get(url).status_code for url in (cat, fox, fox, fox)] == [200, 404, 404, 200]


def test_faults_are_forgotten(emulator: Emulator, replicate: httpx.Client) -> None:
    """`clear_faults` takes back what has not struck."""
    emulator.fault("replicate.account", "status", status=500)
    emulator.clear_faults()
    assert replicate.get("/account").status_code == 200


def test_delay_and_slow_drip_deliver_all(emulator: Emulator, replicate: httpx.Client) -> None:
    """Later, but whole."""
    whole = replicate.get("/account").content
    emulator.fault("replicate.account", "delay", seconds=0.02)
    assert replicate.get("/account").content == whole
    emulator.fault("replicate.account", "slow_drip", seconds=0.002)
    assert replicate.get("/account").content == whole


def test_an_endless_body(emulator: Emulator, web: httpx.Client, replicate: httpx.Client) -> None:
    """It goes on until the client stops reading."""
    url = result(replicate)["output"][0]
    emulator.fault("delivery.get", "endless")
    received = 0
    with web.stream("GET", url) as answer:
        assert "content-length" not in answer.headers
        for piece in answer.iter_bytes():
            received += len(piece)
            if received > 1_000_000:
                break
    assert received > 1_000_000


def test_redirects(emulator: Emulator, web: httpx.Client, replicate: httpx.Client) -> None:
    """To another place, or to the same one."""
    url = result(replicate)["output"][0]
    emulator.fault("delivery.get", "redirect", url="http://169.254.169.254/latest")
    emulator.fault("delivery.get", "redirect")
    assert web.get(url).headers["location"] == "http://169.254.169.254/latest"
    assert web.get(url).headers["location"] == url
    assert web.get(url).status_code == 200


def test_odd_answers(emulator: Emulator, replicate: httpx.Client) -> None:
    """A key twice, an unknown status, a compressed body, a false type, removed data."""
    url = create(replicate).json()["urls"]["get"]
    emulator.fault("replicate.get", "duplicate_key")
    emulator.fault("replicate.get", "unknown_status")
    emulator.fault("replicate.get", "encoded")
    emulator.fault("replicate.get", "wrong_content_type")
    emulator.fault("replicate.get", "expired")
    twice, unknown, encoded, mistyped, expired = (replicate.get(url) for _ in range(5))
    assert twice.text.count('"model"') == 2
    assert unknown.json()["status"] == "hibernating"
    assert encoded.headers["content-encoding"] == "gzip"
    assert encoded.json() == mistyped.json()
    assert int(encoded.headers["content-length"]) == len(gzip.compress(encoded.content))
    assert mistyped.headers["content-type"].startswith("text/html")
    assert (expired.json()["data_removed"], expired.json()["output"]) == (True, None)


def test_expired_files(emulator: Emulator, web: httpx.Client, replicate: httpx.Client) -> None:
    """404 for one request."""
    url = result(replicate)["output"][0]
    emulator.fault("delivery.get", "expired", match="a fox")
    assert [web.get(url).status_code for _ in range(2)] == [404, 200]


@pytest.mark.parametrize(
    ("kind", "fields", "status", "error"),
    [
        ("failed", {"text": "CUDA out of memory (E1001)"}, "failed", "CUDA out of memory (E1001)"),
        ("failed", {}, "failed", "Prediction interrupted; please retry (code: PA)"),
        ("moderated", {}, "failed", "All generated images contained NSFW content"),
        ("aborted", {}, "aborted", None),
    ],
)
def test_generations_that_fail(
    emulator: Emulator, replicate: httpx.Client, kind: Kind, fields: dict[str, Any], status: str, error: str | None
) -> None:
    """HTTP 200, a terminal status, no bill."""
    emulator.fault("replicate.create", kind, **fields)
    body = result(replicate)
    assert (body["status"], body["output"]) == (status, None)
    assert error is None or body["error"].startswith(error)
    assert emulator.books().billed("USD") == 0


@pytest.mark.parametrize(
    ("kind", "fields", "output"),
    [
        ("null_output", {}, None),
        ("empty_output", {}, []),
        ("text_only", {"text": "no"}, "no"),
        ("foreign_output", {"url": "http://169.254.169.254/x.png"}, ["http://169.254.169.254/x.png"]),
    ],
)
def test_odd_outputs(
    emulator: Emulator, replicate: httpx.Client, kind: Kind, fields: dict[str, Any], output: object
) -> None:
    """A success whose output is not what was asked for, and billed."""
    emulator.fault("replicate.create", kind, **fields)
    body = result(replicate)
    assert (body["status"], body["output"]) == ("succeeded", output)
    assert emulator.books().billed("USD") == 0.003


def test_fewer_files_than_asked(emulator: Emulator, replicate: httpx.Client) -> None:
    """Three of four, and three are billed."""
    emulator.fault("replicate.create", "partial_output", count=3)
    assert len(result(replicate, num_outputs=4)["output"]) == 3
    assert emulator.books().billed("USD") == 0.009


def test_data_uris(emulator: Emulator, replicate: httpx.Client) -> None:
    """The file itself where a link may stand, perhaps under a useless type."""
    emulator.fault("replicate.create", "data_uri", text="application/octet-stream")
    (output,) = result(replicate, megapixels="0.25")["output"]
    assert output.startswith("data:application/octet-stream;base64,UklGR")


def test_a_big_output(emulator: Emulator, replicate: httpx.Client, web: httpx.Client) -> None:
    """A link to a film of the size asked for."""
    emulator.fault("replicate.create", "big_output", size=200_000)
    (url,) = result(replicate)["output"]
    assert len(web.get(url).content) == 200_000


def test_a_slow_generation(emulator: Emulator, replicate: httpx.Client) -> None:
    """This one alone takes so long on the emulator's clock."""
    emulator.fault("replicate.create", "slow", seconds=500)
    url = create(replicate).json()["urls"]["get"]
    assert replicate.get(url).json()["status"] == "processing"
    emulator.advance(501)
    assert replicate.get(url).json()["status"] == "succeeded"


def test_a_list_that_lags(emulator: Emulator, replicate: httpx.Client) -> None:
    """What was just created is not shown yet."""
    old = create(replicate).json()["id"]
    emulator.advance(60)
    new = create(replicate).json()["id"]
    emulator.fault("replicate.list", "lag", seconds=30)
    lists = [[one["id"] for one in replicate.get("/predictions").json()["results"]] for _ in range(2)]
    assert lists == [[old], [new, old]]


@pytest.mark.parametrize(
    ("route", "kind", "message"),
    [
        ("replicate.nothing", "hang", "no route 'replicate.nothing'"),
        ("replicate.get", "explode", "no kind of fault 'explode'"),
        ("delivery.get", "moderated", "'moderated' cannot strike 'delivery.get'"),
    ],
)
def test_faults_that_could_never_strike_are_refused(emulator: Emulator, route: Route, kind: Kind, message: str) -> None:
    """With the ones that could."""
    with pytest.raises(ValueError, match=message):
        emulator.fault(route, kind)


def test_faults_can_be_scripted_over_http(emulator: Emulator, web: httpx.Client, replicate: httpx.Client) -> None:
    """POST one or several, GET what is pending, DELETE all; nonsense answers 422."""
    doors = f"{emulator.base_url}/_faults"
    several = [
        {"route": "replicate.account", "kind": "status", "status": 418, "body": {"a": 1}},
        {"route": "poe.chat", "kind": "hang"},
    ]
    assert len(web.post(doors, json=several).json()["pending"]) == 2
    answer = replicate.get("/account")
    assert (answer.status_code, answer.json()) == (418, {"a": 1})
    assert [one["kind"] for one in web.get(doors).json()["pending"]] == ["hang"]
    assert web.delete(doors).json() == {"pending": []}
    for wrong in ({"route": "poe.chat"}, {"route": "poe.chat", "kind": "hang", "often": 3}, "hang"):
        assert web.post(doors, json=wrong).status_code == 422


def test_a_fault_reads_json_bodies() -> None:
    """`body` may be any JSON; text stays text."""
    assert Fault.from_json({"route": "poe.chat", "kind": "status", "body": {"a": [1]}}).body == json.dumps({"a": [1]})
    assert Fault.from_json({"route": "poe.chat", "kind": "status", "body": "x"}).body == "x"
