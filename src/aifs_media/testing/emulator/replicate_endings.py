"""How a Replicate generation ends: its files on the delivery host, or one of the ways it goes wrong."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING

from aifs_media.testing.emulator.outputs import MEDIA_TYPES, OutputFile, Picture
from aifs_media.testing.emulator.predictions import Plan, Prediction

if TYPE_CHECKING:
    from aifs_media.testing.emulator.faults import Fault
    from aifs_media.testing.emulator.world import World

_INTERRUPTED = "Prediction interrupted; please retry (code: PA)"


async def ending(world: World, prediction: Prediction, fault: Fault | None) -> Plan:
    """Return how the prediction will end, and put its files on the shelf. Fewer files change `prediction.pictures`."""
    if fault is not None:
        if fault.kind == "partial_output":
            prediction.pictures = prediction.pictures[: fault.count]
        plan = await _faulty(world, prediction, fault)
        if plan is not None:
            return plan
    urls = [_shelve(world, prediction, index, picture) for index, picture in enumerate(prediction.pictures)]
    return Plan("succeeded", _shaped(prediction, urls))


async def _faulty(world: World, prediction: Prediction, fault: Fault) -> Plan | None:
    match fault.kind:
        case "failed":
            return Plan("failed", error=fault.text or _INTERRUPTED)
        case "moderated":
            return Plan("failed", error=_moderation_text(prediction))
        case "aborted":
            return Plan("aborted")
        case "data_uri":
            return Plan("succeeded", _shaped(prediction, [await _data_uri(one, fault) for one in prediction.pictures]))
        case _:
            odd: dict[str, object] = {
                "text_only": fault.text or "I cannot make this.",
                "null_output": None,
                "empty_output": [],
                "foreign_output": _shaped(prediction, [fault.url]),
                "big_output": _shaped(prediction, [world.output_url(f"/delivery/blob/{fault.size}.mp4")]),
            }
            return Plan("succeeded", odd[fault.kind]) if fault.kind in odd else None


def _shelve(world: World, prediction: Prediction, index: int, picture: Picture) -> str:
    path = f"/xezq/{secrets.token_urlsafe(36)}/{_file_name(prediction, index, picture)}"
    world.shelf.add(
        OutputFile(
            path=path,
            picture=picture,
            owner=prediction.id,
            available_at=prediction.end,
            expires_at=prediction.end + prediction.retention,
        )
    )
    return world.output_url(path)


def _file_name(prediction: Prediction, index: int, picture: Picture) -> str:
    stem = "output" if picture.format == "mp4" else "out"
    return f"{stem}-{index}.{picture.format}" if prediction.model.many_outputs else f"{stem}.{picture.format}"


def _shaped(prediction: Prediction, urls: list[str]) -> object:
    return urls if prediction.model.many_outputs else next(iter(urls), None)


async def _data_uri(picture: Picture, fault: Fault) -> str:
    file = OutputFile(path="", picture=picture, owner="", available_at=0.0)
    encoded = base64.b64encode(await file.read()).decode()
    return f"data:{fault.text or MEDIA_TYPES[picture.format]};base64,{encoded}"


def _moderation_text(prediction: Prediction) -> str:
    if prediction.model.owner == "black-forest-labs":
        return "All generated images contained NSFW content. Try running it again with a different prompt."
    if prediction.model.kind == "image":
        return "NSFW content detected. Try running it again, or try a different prompt."
    return "The input or output was flagged as sensitive. Please try again with different inputs. (E005)"
