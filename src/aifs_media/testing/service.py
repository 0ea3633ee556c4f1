"""A provider's service on loopback, as the author of a provider describes it: real sockets, scripted answers, and a record.

Two listeners: the API, and the host that hands out the files, which must never see the key.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING, Literal, Self

from aifs_media.testing._service_http import Handler, forward
from aifs_media.testing.media import small_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from pydantic import JsonValue

    from aifs_media.records import Kind
    from aifs_media.testing._provider_script import ProviderScript

CallName = Literal["create", "poll", "cancel", "download", "file", "other"]
Refusal = Literal["key", "credit", "rate", "content", "broken"]

KEY = "contract-key-7c1f9a52e0b84d36"
HOLD_LIMIT = 3.0
"""Seconds that an answer is held back for an event loop that does not go on."""


@dataclass(frozen=True)
class Reply:
    """An HTTP answer: `body` is sent as JSON, bytes as they are."""

    status: int = 200
    body: JsonValue | bytes = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class ServedJob:
    """A job at the service, as an answer has to show it.

    Attributes:
        id: the service's own id of the job.
        state: "running", "succeeded", "failed" or "cancelled"; anything else is a state that no documentation knows, to be
            shown as it is, in the place where the API shows its states.
        call: what is being answered: "create", "poll" or "cancel".
        request: the JSON of the create; None where it was none.
        files: URLs of the outputs; empty unless it has succeeded, and sometimes then.
        data: the bytes of the output, for an API that puts them into its answer; empty where `files` is.
        base_url: the address of the API.
    """

    id: str
    state: str
    call: CallName
    request: JsonValue
    files: tuple[str, ...]
    data: bytes
    base_url: str

    @property
    def file(self) -> str | None:
        """The URL of the output, or None."""
        return self.files[0] if self.files else None


@dataclass(frozen=True)
class Call:
    """A request that reached the service."""

    name: CallName
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    def holds(self, text: str) -> bool:
        """Say whether the text stands anywhere in the request, also within what HTTP Basic encodes."""
        values = [*self.headers.values(), *(_basic(value) for value in self.headers.values())]
        return text in self.path or text.encode() in self.body or any(text in value for value in values)


class Hold:
    """An answer that is held back until somebody lets it go."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.let_go = threading.Event()
        self.in_vain = False


class Service:
    """The service while a test runs. Start and stop it with `with`.

    Attributes:
        key: the only key that the tests use.
        base_url: the address of the API; the routes of a contract are relative to it.
        files_host: `host:port` of the listener that hands out the outputs.
        state: what the jobs are shown as from now on.
        empty: whether jobs succeed without any output.
        calls: what reached the API; `file_calls` what reached the other listener.
    """

    def __init__(self, script: ProviderScript, kind: Kind) -> None:
        self.key = KEY
        self.script = script
        self.state = "succeeded"
        self.empty = False
        self.faults: dict[CallName, Reply | Literal["lost"]] = {}
        self.hold: Hold | None = None
        self.calls: list[Call] = []
        self.file_calls: list[Call] = []
        self.mistakes: list[Exception] = []
        self._routes = _routes(script)
        self._requests: dict[str, JsonValue] = {}
        self._lock = threading.Lock()
        self.serve(kind)
        self._api = _Listener(self.api_reply)
        self._files = _Listener(self.file_reply)
        self.base_url = f"http://{self._api.host}"
        self.files_host = self._files.host

    def serve(self, kind: Kind) -> None:
        """Make files of this kind from now on."""
        self.kind: Kind = kind
        self.file = small_file(kind, text="contract")

    def settings(self, prefix: str) -> dict[str, str]:
        """Return the settings that point a provider here, as `HttpProvider.from_settings` reads them.

        Args:
            prefix: what the names of its settings begin with, for example "ACME" for ACME_API_KEY.
        """
        return {
            f"{prefix}_API_KEY": self.key,
            f"{prefix}_BASE_URL": self.base_url,
            f"{prefix}_DELIVERY_HOSTS": self.files_host,
            "MEDIA_TRUSTED_HOSTS": f"{self._api.host},{self.files_host}",
        }

    def named(self, name: CallName) -> list[Call]:
        """Return the calls of a name, oldest first."""
        return [call for call in self.calls if call.name == name]

    def refuse(self, name: CallName, why: Refusal) -> None:
        """Answer the calls of a name with a refusal from now on. "{key}" in it becomes the key, as vendors like to repeat it."""
        reply = self.script.refusals[why]
        body = json.dumps(reply.body).replace("{key}", self.key)
        self.faults[name] = Reply(reply.status, json.loads(body), reply.headers)

    # -- answers, in threads of the listeners --------------------------------------------------------------------------

    def api_reply(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply | None:
        """Return the API's answer to a request; None closes the connection without one."""
        name, ref = self._recognise(method, path)
        call = Call(name, method, path, headers, body)
        with self._lock:
            self.calls.append(call)
        if self.hold is not None:
            self.hold.arrived.set()
            self.hold.in_vain |= not self.hold.let_go.wait(HOLD_LIMIT)
        fault = self.faults.get(name)
        if isinstance(fault, Reply):
            return fault
        try:
            reply = self._answer(call, ref)
        except Exception as error:
            # The author's mistake, on a thread of ours: the check that is running tells it.
            self.mistakes.append(error)
            return Reply(500, {"message": "the scripted service stumbled"})
        return None if fault == "lost" else reply

    def file_reply(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply | None:
        """Return the answer of the host that hands out the outputs."""
        with self._lock:
            self.file_calls.append(Call("file", method, path, headers, body))
        return self._file() if path.startswith("/files/") else Reply(404, {})

    def _recognise(self, method: str, path: str) -> tuple[CallName, str]:
        for name, wanted, pattern in self._routes:
            found = pattern.fullmatch(path if r"\?" in pattern.pattern else path.partition("?")[0])
            if method == wanted and found is not None:
                return name, found.groupdict().get("id", "")
        return "other", ""

    def _answer(self, call: Call, ref: str) -> Reply:
        if self.script.own_server:
            status, headers, body = forward(self.script.own_server, call.method, call.path, call.headers, call.body)
            return Reply(status, body, headers)
        if call.name == "download":
            return self._file()
        if call.name == "other":
            return self.script.other(call.method, call.path)
        if call.name == "create":
            with self._lock:
                ref = f"job-{len(self._requests) + 1}"
                self._requests[ref] = _json_or_none(call.body)
        elif ref not in self._requests:
            return Reply(404, {"message": f"no job {ref}"})
        if call.name == "cancel":
            self.state = "cancelled"
        return self._show(call.name, ref)

    def _show(self, name: CallName, ref: str) -> Reply:
        state = "running" if name == "create" and self.script.poll else self.state
        there = state == "succeeded" and not self.empty
        job = ServedJob(
            id=ref,
            state=state,
            call=name,
            request=self._requests[ref],
            files=(f"http://{self.files_host}/files/{ref}.{'mp4' if self.kind == 'video' else 'png'}",)
            if there
            else (),
            data=self.file.data if there else b"",
            base_url=self.base_url,
        )
        shown = self.script.answer(job)
        return shown if isinstance(shown, Reply) else Reply(200, shown)

    def _file(self) -> Reply:
        return Reply(200, self.file.data, {"content-type": self.file.media_type})

    # -- lifetime ------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._api.begin()
        self._files.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.hold is not None:
            self.hold.let_go.set()
        self._api.end()
        self._files.end()


class _Listener(ThreadingHTTPServer):
    """One port on loopback. Its threads are waited for, so that nothing is left behind."""

    daemon_threads = False

    def __init__(self, reply: object) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.reply = reply
        self.host = f"127.0.0.1:{self.server_port}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), name="aifs-media contract")

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


def _routes(script: ProviderScript) -> list[tuple[CallName, str, re.Pattern[str]]]:
    written: dict[CallName, str] = {
        "cancel": script.cancel,
        "download": script.download,
        "create": script.create,
        "poll": script.poll,
    }
    routes: list[tuple[CallName, str, re.Pattern[str]]] = []
    for name, route in written.items():
        if not route:
            continue
        method, _, path = route.partition(" ")
        if not path.startswith("/"):
            raise ValueError(f'{name} = {route!r} is no route. Write it like "POST /jobs" or "GET /jobs/{{id}}".')
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^?]+?)", re.escape(path))
        routes.append((name, method.upper(), re.compile(pattern)))
    return routes


def _basic(value: str) -> str:
    scheme, _, encoded = value.partition(" ")
    try:
        return base64.b64decode(encoded).decode("utf-8", "replace") if scheme.lower() == "basic" else ""
    except ValueError:
        return ""


def _json_or_none(body: bytes) -> JsonValue:
    try:
        return json.loads(body)  # type: ignore[no-any-return]
    except ValueError:
        return None
