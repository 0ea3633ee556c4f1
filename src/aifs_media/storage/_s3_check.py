"""The proof, at the price of a few small requests, that a bucket can be used."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from aifs_media.errors import StorageError
from aifs_media.records import Check
from aifs_media.storage._multipart import content_md5, md5
from aifs_media.storage._s3_errors import clock_skew

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aifs_media.storage._s3_calls import S3Calls

PROBE_FOLDER = "_aifs-media-check"
PROBE = b"aifs-media writes this object to prove that it can, and deletes it again.\n"
# S3 servers refuse signatures that are further off than some minutes; R2 does not say how many.
MAX_CLOCK_SKEW = 300.0


async def check_bucket(calls: S3Calls, *, name: str, prefix: str) -> Sequence[Check]:
    """Return what was found: whether the bucket is there, whether an object can be written, read and deleted, and the clock."""
    bucket, headers = await _check_reachable(calls, name=name)
    checks = [bucket, await _check_write(calls, name=name, prefix=prefix)]
    skew = clock_skew(headers, calls.clock.now())
    if skew is not None:
        checks.append(_check_clock(skew, name=name))
    return checks


async def _check_reachable(calls: S3Calls, *, name: str) -> tuple[Check, dict[str, str]]:
    action = f"Looking for the bucket {calls.place.bucket!r}"
    facts = {"bucket": calls.place.bucket, "endpoint": calls.place.endpoint or "AWS"}
    try:
        answer = await _ask(calls, action=action)
    except StorageError as error:
        return _failed(f"{name} bucket", error), {}
    headers: dict[str, str] = answer["ResponseMetadata"]["HTTPHeaders"]
    found = f"The bucket {calls.place.bucket!r} is there."
    return Check(name=f"{name} bucket", ok=True, message=found, facts={**facts}), headers


async def _ask(calls: S3Calls, *, action: str) -> dict[str, Any]:
    try:
        return await calls.call("head_bucket", {}, action=action, kind=StorageError)
    except StorageError:
        # The answer to HEAD has no body, so that it does not say which of several reasons applies.
        return await calls.call("list_objects_v2", {"MaxKeys": 1}, action=action, kind=StorageError)


async def _check_write(calls: S3Calls, *, name: str, prefix: str) -> Check:
    folder = f"{prefix}/{PROBE_FOLDER}" if prefix else PROBE_FOLDER
    key = f"{folder}/{uuid.uuid4().hex}.txt"
    named = {"Key": key}
    body = {"Body": PROBE, "ContentType": "text/plain", "ContentMD5": content_md5(md5(PROBE))}
    try:
        await calls.call("put_object", {**named, **body}, action="Writing a small object")
        read = await calls.call("get_object", named, action="Reading the small object back", kind=StorageError)
        same = await calls.run(read["Body"].read, action="Reading the small object back", kind=StorageError) == PROBE
        await calls.call("delete_object", named, action="Deleting the small object", kind=StorageError)
    except StorageError as error:
        return _failed(f"{name} write", error)
    if not same:
        return Check(
            name=f"{name} write",
            ok=False,
            message=f"The object {key!r} came back with other bytes than were written.",
            hint="Look at proxies between this machine and the storage.",
        )
    return Check(name=f"{name} write", ok=True, message="An object was written, read back and deleted.")


def _check_clock(skew: float, *, name: str) -> Check:
    ok = abs(skew) <= MAX_CLOCK_SKEW
    direction = "ahead of" if skew > 0 else "behind"
    return Check(
        name=f"{name} clock",
        ok=ok,
        message=f"This machine's clock is {abs(skew):.0f} s {direction} the storage's.",
        hint="" if ok else "Set the clock (switch on time synchronisation): signatures depend on it.",
        facts={"seconds": round(skew, 1)},
    )


def _failed(name: str, error: StorageError) -> Check:
    facts = {"code": error.code, **({"request_id": error.request_id} if error.request_id else {})}
    return Check(name=name, ok=False, message=error.message, hint=error.hint, facts={**facts})
