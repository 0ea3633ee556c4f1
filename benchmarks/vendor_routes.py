"""The vendors' side of the faulty server: their paths and the shapes of their answers."""

from __future__ import annotations

import json
import re
import struct
import zlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from faulty_server import FaultyServer, Handler, Job

MODEL = "black-forest-labs/flux-schnell"


def a_png(side: int = 64) -> bytes:
    """Return a whole PNG of one colour."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = (b"\x00" + b"\x28\x68\xc8" * side) * side
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def file_url(server: FaultyServer, job: Job) -> str:
    """Return where a job's picture is."""
    return f"{server.files_url}/files/{job.id}.png"


def prediction(server: FaultyServer, job: Job) -> dict[str, object]:
    """Return Replicate's prediction object."""
    status = {"running": "processing", "done": "succeeded", "canceled": "canceled"}[job.state]
    address = f"{server.url}/replicate/v1/predictions/{job.id}"
    made = datetime.fromtimestamp(job.created, tz=UTC).isoformat().replace("+00:00", "Z")
    members: dict[str, object] = {
        "id": job.id, "model": MODEL, "version": "hidden", "input": job.values, "logs": "", "error": None,
        "output": [file_url(server, job)] if job.state == "done" else None, "data_removed": False, "source": "api",
        "status": status, "created_at": made, "urls": {"get": address, "cancel": f"{address}/cancel"},
    }  # fmt: skip
    if job.state != "running":
        members |= {"started_at": made, "completed_at": made, "metrics": {"predict_time": 0.5}}
    return members


def starting(server: FaultyServer, job: Job) -> dict[str, object]:
    """Return Replicate's answer to a create: nothing is done yet."""
    members = {**prediction(server, job), "status": "starting", "output": None}
    for name in ("started_at", "completed_at", "metrics"):
        members.pop(name, None)
    return members


def queued(server: FaultyServer, job: Job) -> dict[str, object]:
    """Return fal's answer to a submit."""
    address = f"https://{server.tls_host}/fal-ai/flux/requests/{job.id}"
    return {
        "status": "IN_QUEUE", "request_id": job.id, "queue_position": 0, "response_url": address,
        "status_url": f"{address}/status", "cancel_url": f"{address}/cancel",
    }  # fmt: skip


def queue_status(server: FaultyServer, job: Job) -> dict[str, object]:
    """Return fal's status."""
    state = "IN_PROGRESS" if job.state == "running" else "COMPLETED"
    return {**queued(server, job), "status": state, "logs": None, "metrics": {}}


def video(_server: FaultyServer, job: Job) -> dict[str, object]:
    """Return OpenAI's video object."""
    status = {"running": "in_progress", "done": "completed", "canceled": "failed"}[job.state]
    return {
        "id": f"video_{job.id}", "object": "video", "model": "sora-2", "status": status, "progress": 50,
        "created_at": int(job.created), "completed_at": None, "expires_at": None, "prompt": job.prompt,
        "size": "720x1280", "seconds": "4", "remixed_from_video_id": None, "error": None,
    }  # fmt: skip


def task(server: FaultyServer, job: Job) -> dict[str, object]:
    """Return Runway's task."""
    status = {"running": "RUNNING", "done": "SUCCEEDED", "canceled": "CANCELLED"}[job.state]
    made = datetime.fromtimestamp(job.created, tz=UTC).isoformat().replace("+00:00", "Z")
    extra: dict[str, object] = {"output": [file_url(server, job)]} if job.state == "done" else {"progress": 0.5}
    return {"id": job.id, "status": status, "createdAt": made, **extra}


def _replicate_create(one: Handler, body: bytes, *_path: str) -> None:
    values = json.loads(body)["input"]
    one.created(str(values.get("prompt")), values, starting, 201)


def _replicate_list(one: Handler, _body: bytes) -> None:
    results = [prediction(one.account, job) for job in reversed(one.account.jobs)]
    one.send(200, {"next": None, "previous": None, "results": results})


def _replicate_model(one: Handler, _body: bytes, owner: str, name: str) -> None:
    members = {
        "url": f"https://replicate.com/{owner}/{name}", "owner": owner, "name": name, "description": "", "run_count": 1,
        "visibility": "public", "github_url": None, "paper_url": None, "license_url": None, "cover_image_url": None,
        "default_example": None, "latest_version": None, "is_official": True, "created_at": "2024-07-30T00:32:11Z",
    }  # fmt: skip
    one.send(200, members)


def _openai_create(one: Handler, body: bytes) -> None:
    found = re.search(rb'name="prompt"\r\n\r\n(.*?)\r\n', body, re.DOTALL)
    one.created(found[1].decode() if found else "", {}, video, 200)


def _openai_list(one: Handler, _body: bytes) -> None:
    data = [video(one.account, job) for job in reversed(one.account.jobs)]
    one.send(200, {"object": "list", "data": data, "first_id": None, "last_id": None, "has_more": False})


def _runway_create(one: Handler, body: bytes) -> None:
    values = json.loads(body)
    one.created(values["promptText"], values, lambda _server, job: {"id": job.id}, 200)


def _fal_create(one: Handler, body: bytes) -> None:
    values = json.loads(body)
    one.created(values["prompt"], values, queued, 200)


def _fal_result(one: Handler, _body: bytes, name: str) -> None:
    one.read(
        name,
        lambda server, job: {"images": [{"url": file_url(server, job)}]},
        lambda job: 400 if job.state == "running" else 200,
    )


def _always(status: int) -> Callable[[Job], int]:
    return lambda _job: status


ROUTES: tuple[tuple[str, str, Callable[..., None]], ...] = (
    ("POST", r"/replicate/v1/predictions", _replicate_create),
    ("POST", r"/replicate/v1/models/([^/]+)/([^/]+)/predictions", _replicate_create),
    ("GET", r"/replicate/v1/predictions", _replicate_list),
    ("GET", r"/replicate/v1/models/([^/]+)/([^/]+)", _replicate_model),
    ("GET", r"/replicate/v1/account", lambda one, _body: one.send(200, {"type": "user", "username": "u", "name": "U"})),
    ("GET", r"/replicate/v1/predictions/(\w+)", lambda one, _body, name: one.read(name, prediction, _always(200))),
    ("POST", r"/replicate/v1/predictions/(\w+)/cancel", lambda one, _body, name: one.cancel(name, prediction, 200)),
    ("POST", r"/fal-ai/flux/schnell", _fal_create),
    (
        "GET",
        r"/fal-ai/flux/requests/(\w+)/status",
        lambda one, _body, name: one.read(name, queue_status, lambda job: 202 if job.state == "running" else 200),
    ),
    ("GET", r"/fal-ai/flux/requests/(\w+)", _fal_result),
    (
        "PUT",
        r"/fal-ai/flux/requests/(\w+)/cancel",
        lambda one, _body, name: one.cancel(name, lambda _server, _job: {"status": "CANCELLATION_REQUESTED"}, 202),
    ),
    ("POST", r"/openai/v1/videos", _openai_create),
    ("GET", r"/openai/v1/videos", _openai_list),
    ("GET", r"/openai/v1/videos/video_(\w+)", lambda one, _body, name: one.read(name, video, _always(200))),
    ("GET", r"/openai/v1/videos/video_\w+/content", lambda one, _body: one.send(200, a_png())),
    (
        "DELETE",
        r"/openai/v1/videos/video_(\w+)",
        lambda one, _body, name: one.cancel(
            name, lambda _server, job: {"id": job.id, "object": "video.deleted", "deleted": True}, 200
        ),
    ),
    ("POST", r"/runway/v1/text_to_image", _runway_create),
    ("GET", r"/runway/v1/tasks/(\w+)", lambda one, _body, name: one.read(name, task, _always(200))),
    ("DELETE", r"/runway/v1/tasks/(\w+)", lambda one, _body, name: one.cancel(name, lambda _server, _job: {}, 200)),
    ("GET", r"/files/\w+\.png", lambda one, _body: one.send(200, a_png())),
)
