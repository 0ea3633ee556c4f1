"""Start frames: from what the caller has to what the provider can read. Free to repeat, and never part of a job's identity."""

from __future__ import annotations

import base64
import hashlib
import os
from typing import TYPE_CHECKING

import anyio

from aifs_media._download import InlineSource, read_all
from aifs_media._sniff import MediaCheck
from aifs_media.errors import BadMediaError, RequestRejectedError
from aifs_media.protocols import InputLimits, InputUploader, Readable, role
from aifs_media.records import Asset, InputFile

if TYPE_CHECKING:
    from aifs_media.protocols import MediaProvider, Storage

DATA_URI_LIMIT = 256 * 1024
"""Bytes up to which a file goes inside the request of a provider that says nothing about it."""

INPUT_LIMIT = 50 * 1024 * 1024


async def input_file(image: str | bytes | os.PathLike[str] | Asset | InputFile) -> InputFile:
    """Return a start frame as a record: a URL, an asset of ours, or checked bytes.

    Args:
        image: an https URL, a path, the bytes themselves, or an earlier asset.

    Raises:
        RequestRejectedError: there is no such file, or it is not a picture.
    """
    if isinstance(image, InputFile):
        return image
    if isinstance(image, Asset):
        return InputFile(object_key=image.object_key, media_type=image.media_type, sha256=image.sha256, size=image.size)
    if isinstance(image, str) and image.startswith(("https://", "http://")):
        return InputFile(url=image)
    if isinstance(image, bytes):
        media_type = _media_type(image, "the bytes given as image")
        data = base64.b64encode(image).decode()
        return InputFile(media_type=media_type, sha256=_sha256(image), size=len(image), data=data)
    path = os.fspath(image)
    content = await _read(path)
    media_type = _media_type(content, repr(path))
    return InputFile(
        media_type=media_type, sha256=_sha256(content), size=len(content), path=str(await anyio.Path(path).absolute())
    )


async def readable_by_provider(file: InputFile, *, provider: MediaProvider, storage: Storage, job_id: str) -> str:
    """Return a URL or data URI that the provider can read.

    Small files go inside the request, larger ones to the provider's own upload, else into our storage behind a URL.

    Raises:
        RequestRejectedError: the file changed or is gone, or nobody can hand it over.
    """
    limits = role(provider, InputLimits)
    reads_urls = limits is None or limits.reads_urls
    if file.url is not None:
        if not reads_urls:
            raise RequestRejectedError(
                f"{provider.name!r} reads no images from URLs.",
                hint="Give the image as bytes or path.",
                provider=provider.name,
            )
        return file.url
    if file.object_key is not None and reads_urls:
        public = await storage.url(file.object_key)
        if public.url.startswith("https://"):
            return public.url
    content = await _content(file, storage)
    if len(content) <= (DATA_URI_LIMIT if limits is None else limits.data_uri_limit):
        return _data_uri(file.media_type, content)
    uploader = role(provider, InputUploader)
    if uploader is not None:
        uploaded = await uploader.upload(
            content, media_type=file.media_type, name=f"{job_id}.{file.media_type.rpartition('/')[2]}"
        )
        return uploaded.value
    if not reads_urls and limits is not None:
        raise RequestRejectedError(
            f"The start image has {len(content)} bytes; {provider.name!r} takes at most {limits.data_uri_limit}.",
            hint="Make it smaller.",
            provider=provider.name,
        )
    object_key = f"inputs/{file.sha256}.{file.media_type.rpartition('/')[2]}"
    await storage.put(object_key, InlineSource(content), media_type=file.media_type, labels={})
    public = await storage.url(object_key)
    if public.url.startswith("https://"):
        return public.url
    return _data_uri(file.media_type, content)


async def _content(file: InputFile, storage: Storage) -> bytes:
    if file.data is not None:
        return base64.b64decode(file.data)
    if file.path is not None:
        content = await _read(file.path)
    else:
        readable = role(storage, Readable)
        if readable is None or file.object_key is None:
            raise RequestRejectedError(
                f"The storage {storage.name!r} cannot read the start image back.",
                hint="Give the image as bytes or path.",
            )
        source = await readable.open(file.object_key)
        try:
            content = await read_all(source, limit=INPUT_LIMIT)
        finally:
            await source.aclose()
    if _sha256(content) != file.sha256:
        raise RequestRejectedError(
            f"The start image {file.path or file.object_key!r} is not the one the job was made with.",
            hint="Restore it, or make a new job.",
        )
    return content


async def _read(path: str) -> bytes:
    try:
        if (await anyio.Path(path).stat()).st_size > INPUT_LIMIT:
            raise RequestRejectedError(
                f"The image {path!r} has more than {INPUT_LIMIT} bytes.", hint="Make it smaller."
            )
        return await anyio.Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise RequestRejectedError(
            f"The image {path!r} cannot be read ({type(error).__name__}).",
            hint="Give a path, an https URL, bytes or an asset.",
        ) from error


def _media_type(content: bytes, name: str) -> str:
    check = MediaCheck("image")
    try:
        check.feed(content)
        return check.finish().media_type
    except BadMediaError as error:
        raise RequestRejectedError(f"{name} cannot be a start image: {error.message}") from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _data_uri(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
