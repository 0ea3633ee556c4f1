"""The delivery host: output files with ranges and entity tags, and a streamed file of any size."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

import anyio.to_thread
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from aifs_media.testing.emulator.movies import encode_movie
from aifs_media.testing.emulator.outputs import MEDIA_TYPES, OutputFile, entity_tag
from aifs_media.testing.emulator.routing import Call, route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.routing import BaseRoute

    from aifs_media.testing.emulator.world import World

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_PIECE = bytes(256 * 1024)
# A box header whose length does not fit 32 bits: length 1, type, then the length in 64 bits.
_LARGE_BOX_HEADER = 16


class DeliveryService:
    """Serves what is on the shelf."""

    def __init__(self, world: World) -> None:
        """Serve this world's files."""
        self._world = world

    def routes(self) -> list[BaseRoute]:
        """Return the routes of the delivery listener."""
        return [
            route(
                self._world,
                "delivery.get",
                "/delivery/blob/{size:int}.mp4",
                self._blob,
                errors=error,
            ),
            route(self._world, "delivery.get", "/{path:path}", self._get, errors=error),
        ]

    async def _get(self, call: Call) -> Response:
        refused = self._refused(call)
        if refused is not None:
            return refused
        file = self._world.shelf.find(call.request.url.path)
        now = self._world.clock.now()
        if file is None or now < file.available_at or call.suffers("expired"):
            return error(404)
        if file.expires_at is not None and now >= file.expires_at:
            file.forget()
            return error(404)
        data = await self._world.shelf.read(file)
        self._world.books.downloaded(file.owner)
        return _served(call, file, data)

    async def _blob(self, call: Call) -> Response:
        """Serve a playable MP4 of exactly `size` bytes; `?length=known` adds a Content-Length."""
        refused = self._refused(call)
        if refused is not None:
            return refused
        size = int(call.request.path_params["size"])
        start = await anyio.to_thread.run_sync(_small_movie, abandon_on_cancel=True)
        if size < len(start) + _LARGE_BOX_HEADER:
            return PlainTextResponse(f"The smallest file is {len(start) + _LARGE_BOX_HEADER} bytes.\n", status_code=400)
        headers = {"content-length": str(size)} if call.request.query_params.get("length") == "known" else {}
        return StreamingResponse(_padded(start, size), media_type="video/mp4", headers=headers)

    def _refused(self, call: Call) -> Response | None:
        if self._world.switches.refuse_leaked_key and "authorization" in call.request.headers:
            return error(403)
        return None


def error(status: int) -> Response:
    """Return a storage service's short refusal."""
    return PlainTextResponse(f"{status}\n", status_code=status)


def _served(call: Call, file: OutputFile, data: bytes) -> Response:
    tag = entity_tag(data)
    headers = {"accept-ranges": "bytes", "etag": tag}
    media_type = MEDIA_TYPES[file.picture.format]
    wanted = _RANGE.fullmatch(call.request.headers.get("range", ""))
    condition = call.request.headers.get("if-range")
    if wanted is None or (condition is not None and condition != tag) or wanted.groups() == ("", ""):
        return Response(data, media_type=media_type, headers=headers)
    if wanted[1]:
        first, last = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1)
    else:
        first, last = max(0, len(data) - int(wanted[2])), len(data) - 1
    if first > last:
        return Response(status_code=416, headers={**headers, "content-range": f"bytes */{len(data)}"})
    headers["content-range"] = f"bytes {first}-{last}/{len(data)}"
    return Response(data[first : last + 1], status_code=206, media_type=media_type, headers=headers)


@cache
def _small_movie() -> bytes:
    return encode_movie("a file of any size", width=64, height=64, frames=8, fps=8, seed=1)


async def _padded(start: bytes, size: int) -> AsyncIterator[bytes]:
    """Yield a movie followed by one more `mdat` box, with nothing but zeros in it, that fills the size."""
    yield start
    box = size - len(start)
    yield (1).to_bytes(4, "big") + b"mdat" + box.to_bytes(8, "big")
    left = box - _LARGE_BOX_HEADER
    while left > 0:
        piece = _PIECE[: min(left, len(_PIECE))]
        yield piece
        left -= len(piece)
