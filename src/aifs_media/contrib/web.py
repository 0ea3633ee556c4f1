"""A small ASGI app that receives providers' webhooks. Needs the extra `web`: `pip install 'aifs-media[web]'`.

It runs alone under any ASGI server, or mounted in a larger application:

    app.mount("/webhooks", webhook_app(media))

MEDIA_WEBHOOK_URL is then `https://your.host/webhooks`; what providers are given is that, their name, and the job's. A job that a
call of this process waits for is woken; one that nobody waits for is brought to its end here, after the answer.
"""

from __future__ import annotations

import logging
from contextlib import aclosing
from typing import TYPE_CHECKING, Protocol

import anyio

from aifs_media._webhooks import BODY_LIMIT
from aifs_media.errors import MediaError, UnknownProviderError, WebhookRefusedError

try:
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.requests import ClientDisconnect
    from starlette.responses import Response
    from starlette.routing import Route
except ModuleNotFoundError as error:
    message = f"Webhooks need {error.name!r}, which is not installed. Run: pip install 'aifs-media[web]'"
    raise ModuleNotFoundError(message, name=error.name) from error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from aifs_media.records import Asset, Job

JOBS_AT_ONCE = 16
"""Jobs that the app brings to their ends at one time; others wait, and are not forgotten: the ledger has them."""

READ_LIMIT = 10.0
"""Seconds within which a webhook's body must have arrived."""

log = logging.getLogger("aifs_media.web")


class Receiver(Protocol):
    """What the app needs of a MediaGenerator."""

    async def receive_webhook(self, provider: str, headers: Mapping[str, str], body: bytes) -> Job | None:
        """Check a webhook and act on it; return the job to go on with, if there is one."""
        ...

    async def resume(self, job: Job | str) -> list[Asset]:
        """Bring a job to its end."""
        ...


def webhook_app(media: Receiver) -> Starlette:
    """Return an ASGI app that answers `POST /{provider}`.

    It answers 204 to a webhook that was accepted or came before, 401 to one that is not from the provider, 404 where there is
    no such provider, 408 and 413 where the body does not end in time or at 1 MiB, and 503 where the webhook could not be
    checked or recorded, so that the provider sends it again.

    Args:
        media: the generator whose jobs the webhooks are about. It must belong to the event loop that serves the app. Enter it
            with `async with` around the server, or connections are opened anew for every webhook.
    """
    places = anyio.CapacityLimiter(JOBS_AT_ONCE)

    async def finish(job: Job) -> None:
        try:
            async with places:
                await media.resume(job)
        except MediaError as error:
            log.warning(
                "the job was not finished: %s", error.code, extra={"job_id": job.job_id, "namespace": job.namespace}
            )

    async def receive(request: Request) -> Response:
        status, job = await _receive(media, request)
        return Response(status_code=status, background=None if job is None else BackgroundTask(finish, job))

    return Starlette(routes=[Route("/{provider}", receive, methods=["POST"])])


async def _receive(media: Receiver, request: Request) -> tuple[int, Job | None]:
    provider = str(request.path_params["provider"])
    try:
        with anyio.fail_after(READ_LIMIT):
            body = await _body(request)
    except TimeoutError:
        return 408, None
    except ClientDisconnect:
        # Nobody reads the answer; an unfinished body must not be taken for a whole one.
        return 400, None
    if body is None:
        return 413, None
    headers = _headers(request)
    if headers is None:
        log.info("webhook refused: one of its headers is repeated", extra={"provider": provider})
        return 401, None
    try:
        return 204, await media.receive_webhook(provider, headers, body)
    except WebhookRefusedError as error:
        log.info("webhook refused: %s", error.message, extra={"provider": provider})
        return 401, None
    except UnknownProviderError:
        return 404, None
    except MediaError as error:
        log.warning("webhook not taken: %s", error.code, extra={"provider": provider})
        return 503, None


async def _body(request: Request) -> bytes | None:
    """Return the body as it arrived, or None where it is too large; not more than that is ever read."""
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced[:20]) > BODY_LIMIT:
        return None
    body = bytearray()
    async with aclosing(request.stream()) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) > BODY_LIMIT:
                return None
    return bytes(body)


def _headers(request: Request) -> dict[str, str] | None:
    """Return the headers, repeated ones joined as HTTP says; None where one is repeated that a webhook has by its name.

    Which of two signatures is meant, nobody can know. Of others, such as Via, a proxy in front may add a second one.
    """
    joined: dict[str, str] = {}
    for name, value in request.headers.items():
        if name in joined and "webhook" in name:
            return None
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined
