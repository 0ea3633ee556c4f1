"""How a job at the emulated fal ends: its files on the delivery host, or one of the ways it goes wrong."""

from __future__ import annotations

import base64
import json
import secrets
from typing import TYPE_CHECKING

from aifs_media.testing.emulator.fal_answers import answer, details, infrastructure
from aifs_media.testing.emulator.fal_jobs import Ending, FalJob
from aifs_media.testing.emulator.outputs import MEDIA_TYPES, OutputFile, Picture

if TYPE_CHECKING:
    from aifs_media.testing.emulator.faults import Fault
    from aifs_media.testing.emulator.world import World

FLAGGED = "nsfw"
"""The text of a fault "moderated" after which images come out black, under has_nsfw_concepts."""

_RETENTION = 7 * 24 * 3600.0
_POLICY = "The content could not be processed because it contained material flagged by a content checker."


def too_late() -> Ending:
    """Return the end of a job that did not start in time."""
    headers = {"x-fal-request-timeout-type": "user"}
    result = infrastructure(504, "Request timed out", "request_timeout", headers)
    return Ending(result, "Request timed out", "request_timeout")


def stopped() -> Ending:
    """Return the end of a job that was cancelled while it ran."""
    result = infrastructure(499, "Request was cancelled by the client", "client_cancelled")
    return Ending(result, "Request was cancelled by the client", "client_cancelled")


async def ending(world: World, job: FalJob, fault: Fault | None, lifecycle: str) -> Ending:
    """Return how the job will end, and put its files on the shelf.

    Args:
        world: where the files go.
        job: the job; with fewer files than asked for, its pictures become fewer.
        fault: what is to go wrong.
        lifecycle: the header that says for how long the files are kept.
    """
    text = fault.text if fault is not None else ""
    match fault.kind if fault is not None else "":
        case "failed":
            words = text or "The runner encountered an internal server error."
            return Ending(infrastructure(500, words, "runner_server_error"), words, "runner_server_error")
        case "aborted":
            words = text or "Runner disconnected"
            return Ending(infrastructure(503, words, "runner_disconnected"), words, "runner_disconnected")
        case "moderated" if text != FLAGGED:
            body = {"detail": details([("prompt", _POLICY, "content_policy_violation")])}
            return Ending(answer(body, 422, {"x-fal-retryable": "false"}), "Invalid status code: 422")
        case "text_only":
            return Ending(answer({"output": text or "I cannot make this."}), bills=True)
        case "null_output":
            return Ending(answer({job.model.kind: None}), bills=True)
        case "empty_output":
            return Ending(answer({"images": [], "seed": 1}), bills=True)
        case _:
            return Ending(answer(await _result(world, job, fault, _kept(lifecycle))), bills=True)


async def _result(world: World, job: FalJob, fault: Fault | None, kept: float | None) -> dict[str, object]:
    kind = fault.kind if fault is not None else ""
    if fault is not None and kind == "partial_output":
        job.pictures = job.pictures[: fault.count]
    files: list[dict[str, object]] = []
    for picture in job.pictures:
        file = _shelved(world, job, picture, kept)
        shown = {"content_type": MEDIA_TYPES[picture.format], "file_name": file.path.rpartition("/")[2]}
        files.append({"url": world.output_url(file.path), **shown, "width": picture.width, "height": picture.height})
        if fault is not None and kind == "data_uri":
            encoded = base64.b64encode(await file.read()).decode()
            files[-1]["url"] = f"data:{fault.text or MEDIA_TYPES[picture.format]};base64,{encoded}"
    if fault is not None and kind == "foreign_output":
        files = [{"url": fault.url}]
    if fault is not None and kind == "big_output":
        files = [{"url": world.output_url(f"/delivery/blob/{fault.size}.mp4")}]
    seed = job.input.get("seed", job.pictures[0].seed)
    if job.model.kind == "video":
        return {"video": files[0], "seed": seed}
    flagged = fault.count if fault is not None and kind == "moderated" else 0
    flags = {"has_nsfw_concepts": [index < flagged for index in range(len(files))]}
    return {
        "images": files,
        "timings": {"inference": job.run_time},
        "seed": seed,
        **(flags if job.model.has_safety_checker or flagged else {}),
        "prompt": job.input.get("prompt"),
    }


def _shelved(world: World, job: FalJob, picture: Picture, kept: float | None) -> OutputFile:
    file = OutputFile(
        path=f"/files/{secrets.token_hex(8)}/{secrets.token_urlsafe(12)}.{picture.format}",
        picture=picture,
        owner=job.id,
        available_at=job.end,
        expires_at=None if kept is None else job.end + kept,
    )
    world.shelf.add(file)
    return file


def _kept(lifecycle: str) -> float | None:
    """Read `X-Fal-Object-Lifecycle-Preference`: seconds, or None for ever. Without it, an older page says, a week at least."""
    try:
        seconds = json.loads(lifecycle).get("expiration_duration_seconds", _RETENTION)
    except (ValueError, AttributeError):
        return _RETENTION
    return None if seconds is None else float(seconds)
