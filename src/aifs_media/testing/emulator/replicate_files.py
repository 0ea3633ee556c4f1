"""Replicate's files: uploads that a model may read, kept for a day."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.responses import Response

from aifs_media.testing.emulator.clock import stamp
from aifs_media.testing.emulator.multipart import multipart
from aifs_media.testing.emulator.replicate import authorized
from aifs_media.testing.emulator.replicate_answers import answer, error, invalid_input
from aifs_media.testing.emulator.routing import Call, Handler, route

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from aifs_media.testing.emulator.world import World

_DAY = 86_400.0
_LARGEST = 100_000_000


@dataclass(frozen=True)
class _Upload:
    id: str
    name: str
    media_type: str
    data: bytes
    metadata: object
    created: float

    def to_json(self, api: str) -> dict[str, object]:
        md5 = hashlib.md5(self.data, usedforsecurity=False).hexdigest()
        return {
            "id": self.id,
            "name": self.name,
            "content_type": self.media_type,
            "size": len(self.data),
            "etag": md5,
            "checksums": {"sha256": hashlib.sha256(self.data).hexdigest(), "md5": md5},
            "metadata": self.metadata,
            "created_at": stamp(self.created, 3),
            "expires_at": stamp(self.created + _DAY, 3),
            "urls": {"get": f"{api}/files/{self.id}"},
        }


class ReplicateFiles:
    """Keeps uploads and answers their API."""

    def __init__(self, world: World) -> None:
        """Start without files."""
        self._world = world
        self._uploads: dict[str, _Upload] = {}
        self._url = f"{world.base_url}/replicate/v1"

    def routes(self) -> list[BaseRoute]:
        """Return the routes, with their paths from the server's root."""
        return [
            self._route("/files", self._create, "POST"),
            self._route("/files", self._list, "GET"),
            self._route("/files/{id}", self._get, "GET"),
            self._route("/files/{id}", self._delete, "DELETE"),
            # Its link is signed: it needs no token.
            route(self._world, "replicate.files", "/replicate/v1/files/{id}/download", self._download, errors=error),
        ]

    def _route(self, path: str, handler: Handler, method: str) -> BaseRoute:
        async def guarded(call: Call) -> Response:
            return await handler(call) if authorized(self._world, call) else error(401)

        return route(self._world, "replicate.files", f"/replicate/v1{path}", guarded, errors=error, methods=(method,))

    async def _create(self, call: Call) -> Response:
        parts = multipart(call.request.headers.get("content-type", ""), call.body)
        content = parts.get("content")
        if content is None:
            return invalid_input([{"type": "required", "field": "(root)", "description": "content is required"}])
        if len(content.data) >= _LARGEST:
            return error(413)
        metadata: object = {}
        if "metadata" in parts:
            try:
                metadata = json.loads(parts["metadata"].data or b"{}")
            except ValueError:
                return invalid_input([{"type": "format", "field": "metadata", "description": "metadata is not JSON"}])
        identifier = base64.b64encode(str(uuid.uuid4()).encode()).decode()
        upload = _Upload(
            identifier, content.file_name, content.media_type, content.data, metadata, self._world.clock.now()
        )
        self._uploads[identifier] = upload
        return answer(upload.to_json(self._url), 201)

    async def _list(self, _call: Call) -> Response:
        kept = [self._kept(identifier) for identifier in self._uploads]
        results = [upload.to_json(self._url) for upload in reversed(kept) if upload is not None]
        return answer({"next": None, "previous": None, "results": results})

    async def _get(self, call: Call) -> Response:
        upload = self._kept(call.path("id"))
        return error(404) if upload is None else answer(upload.to_json(self._url))

    async def _delete(self, call: Call) -> Response:
        upload = self._kept(call.path("id"))
        if upload is None:
            return error(404)
        del self._uploads[upload.id]
        return Response(status_code=204)

    async def _download(self, call: Call) -> Response:
        upload, query = self._kept(call.path("id")), call.request.query_params
        signed = f"{query.get('owner', '')} {call.path('id')} {query.get('expiry', '')}".encode()
        digest = hmac.digest(self._world.replicate_token.encode(), signed, "sha256")
        given = query.get("signature", "")
        if upload is None or not hmac.compare_digest(base64.b64encode(digest).decode(), given):
            return error(404)
        return Response(upload.data, media_type=upload.media_type)

    def _kept(self, identifier: str) -> _Upload | None:
        upload = self._uploads.get(identifier)
        return upload if upload is not None and self._world.clock.now() < upload.created + _DAY else None
