"""What Cloudflare R2 refuses and a lenient S3 server does not, as a small TLS proxy in front of one. Shares no code with the library.

Source of the rules: Cloudflare's R2 documentation (S3 API compatibility, multipart objects, limits, error codes) and the public
reports on boto3's trailing checksums, as of November 2026.
"""

from __future__ import annotations

import http.client
import re
import ssl
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

REGIONS = {"", "auto", "us-east-1"}
FORBIDDEN = re.compile(
    r"x-amz-(acl|grant-.*|tagging|object-lock-.*|server-side-encryption|website-redirect-location|request-payer)"
)
HOP_HEADERS = {"connection", "transfer-encoding", "keep-alive", "content-length"}
SAME_KEY_SECONDS = 1.0


@dataclass(frozen=True)
class Request:
    """A request as it arrived, without its body."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    size: int

    @property
    def operation(self) -> str:
        """The S3 operation, as boto3 names it."""
        if "uploadId" in self.query:
            names = {"PUT": "upload_part", "POST": "complete_multipart_upload", "DELETE": "abort_multipart_upload"}
            return names[self.method]
        if "uploads" in self.query:
            return {"POST": "create_multipart_upload", "GET": "list_multipart_uploads"}[self.method]
        in_bucket = self.path.strip("/").count("/") == 0
        kind = "bucket" if in_bucket else "object"
        return f"{self.method.lower()}_{kind}"


@dataclass
class Fault:
    """What happens to the next `times` requests of an operation, instead of or around their being answered.

    `hold` keeps a request waiting until the event is set; `reached` is set when a request has come so far. `drop` cuts the connection
    before the request is passed on, or after. A `status` answers with an S3 error of that `code`, or with a page of HTML without one.
    `etag` takes the place of the real one in an answer, as if other bytes had been stored.
    """

    operation: str
    status: int = 0
    code: str = ""
    message: str = "scripted"
    times: int = 1
    drop: Literal["", "before", "after"] = ""
    hold: threading.Event | None = None
    reached: threading.Event = field(default_factory=threading.Event)
    clock_offset: float = 0.0
    etag: str = ""


class R2Shim:
    """The proxy. `requests` is what came in, `violations` the rules that were broken."""

    def __init__(self, upstream: str, certificate: str, key: str) -> None:
        self._upstream = urlsplit(upstream).netloc
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self.endpoint = ""
        self.reset()

    def reset(self) -> None:
        """Forget everything that happened."""
        self.requests: list[Request] = []
        self.violations: list[str] = []
        self.faults: list[Fault] = []
        self.limit_same_key = False
        self._parts: dict[str, dict[int, int]] = {}
        self._last_write: dict[str, float] = {}

    def count(self, operation: str) -> int:
        """Return how often an operation was asked for."""
        return sum(request.operation == operation for request in self.requests)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve until the block ends."""
        server = _Server(("127.0.0.1", 0), _Handler)
        server.shim, server.context = self, self._context
        self.endpoint = f"https://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def refuse(self, request: Request) -> tuple[int, str, str] | None:
        """Return status, code and message if the request breaks a rule."""
        refusal = self._refuse_headers(request) or self._refuse_parts(request)
        if refusal:
            self.violations.append(f"{request.operation}: {refusal[2]}")
        elif self.limit_same_key and request.operation == "put_object":
            now = time.monotonic()
            last, self._last_write[request.path] = self._last_write.get(request.path, -SAME_KEY_SECONDS), now
            if now - last < SAME_KEY_SECONDS:
                return 429, "TooManyRequests", "Reduce your concurrent request rate for the same object."
        return refusal

    def _refuse_headers(self, request: Request) -> tuple[int, str, str] | None:
        headers = request.headers
        streaming = headers.get("x-amz-content-sha256", "").startswith("STREAMING")
        if streaming or "x-amz-trailer" in headers or "aws-chunked" in headers.get("content-encoding", ""):
            return 401, "Unauthorized", "aws-chunked body"
        if request.method == "PUT" and "content-length" not in headers:
            return 411, "MissingContentLength", "no Content-Length"
        if forbidden := [name for name in headers if FORBIDDEN.fullmatch(name)]:
            return 501, "NotImplemented", f"Header '{forbidden[0]}' not implemented"
        if "expect" in headers:
            return 400, "InvalidRequest", "Expect: 100-continue"
        scope = re.search(r"Credential=[^/]+/\d+/([^/]*)/", headers.get("authorization", ""))
        if scope and scope[1] not in REGIONS:
            return 400, "InvalidRegionName", f"The region name '{scope[1]}' is not valid."
        return None

    def _refuse_parts(self, request: Request) -> tuple[int, str, str] | None:
        if request.operation == "upload_part":
            self._parts.setdefault(request.query["uploadId"], {})[int(request.query["partNumber"])] = request.size
        if request.operation == "complete_multipart_upload":
            sizes = [size for _, size in sorted(self._parts.get(request.query["uploadId"], {}).items())]
            if len(set(sizes[:-1])) > 1 or sizes[-1] > sizes[0]:
                return 400, "InvalidPart", "All non-trailing parts must have the same length."
        return None

    def take_fault(self, request: Request) -> Fault | None:
        """Return the fault scripted for this request, once for each of its times."""
        for fault in self.faults:
            if fault.operation == request.operation and fault.times > 0:
                fault.times -= 1
                return fault
        return None

    def forward(
        self, method: str, target: str, headers: list[tuple[str, str]], body: bytes
    ) -> http.client.HTTPResponse:
        """Pass the request on as it is: the signature covers the Host header."""
        connection = http.client.HTTPConnection(self._upstream, timeout=60)
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers:
            if name.lower() != "connection":
                connection.putheader(name, value)
        connection.putheader("Connection", "close")
        connection.endheaders(body)
        return connection.getresponse()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    shim: R2Shim
    context: ssl.SSLContext

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        # The handshake happens in the handler's thread, so that a slow client does not hold up the others.
        return self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients of these tests break connections on purpose."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def handle_expect_100(self) -> bool:
        """Stay silent, as R2 is said to."""
        return True

    def answer(self) -> None:
        """Answer one request."""
        shim = self.server.shim
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        request = Request(self.command, parts.path, query, headers, len(body))
        shim.requests.append(request)
        fault = shim.take_fault(request)
        if fault:
            fault.reached.set()
            if fault.hold:
                fault.hold.wait(30)
            if fault.drop == "before":
                self.drop()
                return
            if fault.status:
                self.fail(fault.status, fault.code, fault.message, clock_offset=fault.clock_offset)
                return
        if refusal := shim.refuse(request):
            self.fail(*refusal)
            return
        self.pass_on(body, drop=bool(fault and fault.drop == "after"), etag=fault.etag if fault else "")

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer  # noqa: N815 - the base class looks for these names

    def pass_on(self, body: bytes, *, drop: bool, etag: str) -> None:
        """Let the real server answer."""
        response = self.server.shim.forward(self.command, self.path, self.headers.items(), body)
        data = response.read()
        if etag:
            data = re.sub(rb"<ETag>[^<]*</ETag>", f"<ETag>{etag}</ETag>".encode(), data)
        if drop:
            self.drop()
            return
        self.send_response_only(response.status)
        for name, value in response.getheaders():
            if name.lower() not in HOP_HEADERS:
                self.send_header(name, f'"{etag}"' if etag and name.lower() == "etag" else value)
        length = response.getheader("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def fail(self, status: int, code: str, message: str, *, clock_offset: float = 0.0) -> None:
        """Answer with an S3 error document, or with a page of HTML where there is no code."""
        document = (
            f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
            if code
            else f"<!DOCTYPE html><html><title>{status}</title><body>{message}</body></html>"
        )
        data = b"" if self.command == "HEAD" else document.encode()
        self.send_response_only(status)
        self.send_header("Date", formatdate(time.time() + clock_offset, usegmt=True))
        self.send_header("Content-Type", "application/xml" if code else "text/html")
        self.send_header("x-amz-request-id", "request-of-the-shim")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def drop(self) -> None:
        """Cut the connection without an answer."""
        self.close_connection = True
        self.connection.close()
