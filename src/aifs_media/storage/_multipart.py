"""A large object written in equal parts, of which only a few are in memory at a time."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import anyio

from aifs_media.errors import MediaError, StorageError, UploadError
from aifs_media.storage._s3_errors import UploadGoneError

if TYPE_CHECKING:
    from aifs_media.storage._pieces import Pieces
    from aifs_media.storage._s3_calls import S3Calls

MEBIBYTE = 1024 * 1024
# R2 wants all parts but the last of one size, at least 5 MiB, and no more than 10,000 of them.
PART_SIZE = 8 * MEBIBYTE
MAX_PARTS = 10_000
# More have been seen to end in 500 on R2.
PARTS_IN_FLIGHT = 3
ABORT_SECONDS = 10.0
COMPOSITE_ETAG = re.compile(r"[0-9a-f]{32}-[0-9]+")


@dataclass(frozen=True)
class Part:
    """A part the storage has confirmed: the MD5 of what was sent, and the storage's own tag for it."""

    digest: bytes
    etag: str


def part_size_for(length: int | None) -> int:
    """Return the bytes of each part: 8 MiB, more where the announced length would need too many parts."""
    least = -(-(length or 0) // MAX_PARTS)
    return max(PART_SIZE, -(-least // MEBIBYTE) * MEBIBYTE)


def md5(body: bytes | bytearray) -> bytes:
    """Return the MD5 digest, which S3 defines as the check of what it received."""
    return hashlib.md5(body, usedforsecurity=False).digest()


def content_md5(digest: bytes) -> str:
    """Return the digest as the Content-MD5 header spells it."""
    return base64.b64encode(digest).decode()


async def upload_in_parts(
    calls: S3Calls, key: str, pieces: Pieces, *, part_size: int, parameters: dict[str, Any], action: str
) -> str:
    """Upload everything that is left of the pieces as one object and return its ETag.

    Whatever goes wrong, and whoever cancels: the upload is aborted once its running calls have ended.

    Raises:
        StorageError: the object could not be written.
        Exception: whatever the source raises.
    """
    created = await calls.call("create_multipart_upload", {"Key": key, **parameters}, action=action)
    upload = {"Key": key, "UploadId": created["UploadId"]}
    try:
        parts = await _upload_parts(calls, upload, pieces, part_size=part_size, action=action)
        return await _complete(calls, upload, parts, action=action)
    except BaseException as failure:
        # Cancellation must not leave an open upload behind either: its parts would be stored, and paid for.
        if isinstance(failure, UploadGoneError):
            failure.retryable = True
        else:
            await _abort(calls, upload, failure, action=action)
        raise


async def _upload_parts(
    calls: S3Calls, upload: dict[str, str], pieces: Pieces, *, part_size: int, action: str
) -> list[Part]:
    parts: dict[int, Part] = {}
    failures: list[Exception] = []
    places = anyio.Semaphore(PARTS_IN_FLIGHT)

    async def send(number: int, piece: bytearray) -> None:
        try:
            digest = await calls.threads.run(md5, piece)
            body = {"PartNumber": number, "Body": piece, "ContentMD5": content_md5(digest)}
            answer = await calls.call("upload_part", {**upload, **body}, action=action)
            parts[number] = Part(digest, etag_of(answer))
        except MediaError as error:
            failures.append(error)
            group.cancel_scope.cancel()
        finally:
            places.release()

    async with anyio.create_task_group() as group:
        try:
            number = 0
            while piece := await pieces.take(part_size):
                number += 1
                await places.acquire()
                group.start_soon(send, number, piece)
        except Exception as error:
            # A source may raise anything; it is raised below, where no exception group forms around it.
            failures.append(error)
            group.cancel_scope.cancel()
    if failures:
        raise failures[0]
    return [parts[number] for number in sorted(parts)]


async def _complete(calls: S3Calls, upload: dict[str, str], parts: list[Part], *, action: str) -> str:
    listed = [{"PartNumber": number, "ETag": f'"{part.etag}"'} for number, part in enumerate(parts, start=1)]
    expected = f"{md5(b''.join(part.digest for part in parts)).hex()}-{len(parts)}"
    parameters = {**upload, "MultipartUpload": {"Parts": listed}}
    try:
        answer = await calls.call("complete_multipart_upload", parameters, action=action)
    except StorageError as error:
        # The answer to an accepted call may have been lost. Then the upload is gone, and the object is there.
        if (isinstance(error, UploadGoneError) or error.retryable) and await has_object(calls, upload["Key"], expected):
            return expected
        raise
    etag = etag_of(answer)
    # Storages that encrypt with a key of the customer's make tags that are no digests; each part's Content-MD5 was checked anyway.
    comparable = COMPOSITE_ETAG.fullmatch(etag) and all(part.etag == part.digest.hex() for part in parts)
    if comparable and etag != expected:
        await refuse_stored(calls, upload["Key"], action=action)
    return etag


def etag_of(answer: dict[str, Any]) -> str:
    """Return the ETag of an answer without its quotes."""
    return str(answer.get("ETag", "")).strip('"')


async def has_object(calls: S3Calls, key: str, etag: str) -> bool:
    """Whether the object is there with exactly this ETag; False as well if it cannot be told."""
    try:
        answer = await calls.call("head_object", {"Key": key}, action=f"Looking for {key!r}", attempts=1)
    except StorageError:
        return False
    return etag_of(answer) == etag


async def refuse_stored(calls: S3Calls, key: str, *, action: str) -> NoReturn:
    """Remove an object whose ETag is not that of the bytes sent, and raise."""
    await calls.call("delete_object", {"Key": key}, action=f"Removing the damaged {key!r}")
    raise UploadError(
        f"{action} failed: the ETag of what was stored is not that of the bytes sent. The object was removed.",
        hint="Try again; if it persists, look at proxies on the way.",
        retryable=True,
    )


async def _abort(calls: S3Calls, upload: dict[str, str], failure: BaseException, *, action: str) -> None:
    try:
        with anyio.move_on_after(ABORT_SECONDS, shield=True) as scope:
            await calls.call("abort_multipart_upload", upload, action=f"Aborting after a failure ({action})")
    except UploadGoneError:
        return
    except StorageError as error:
        failure.add_note(f"The unfinished upload stays open in the bucket: {error}")
    else:
        if scope.cancelled_caught:
            failure.add_note(
                f"The unfinished upload stays open in the bucket: aborting it took over {ABORT_SECONDS:g} s."
            )
