"""What is told of a stored output: the asset, its address, its cost, and where it differs from what was asked."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

from aifs_media._options import DURATION_TOLERANCE
from aifs_media._prices import priced
from aifs_media.records import Asset, Cost, Part

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from aifs_media._download import VerifiedSource
    from aifs_media.protocols import Storage
    from aifs_media.records import Job, ObjectURL


def asset_of(
    job: Job,
    index: int,
    source: VerifiedSource,
    *,
    storage: str,
    object_key: str,
    stored_size: int,
    address: ObjectURL,
    now: datetime,
    seconds: float,
) -> Asset:
    """Return the asset that a verified output has become.

    Args:
        job: the job that made it.
        index: which of its outputs it is.
        source: its bytes, read to their end.
        storage: the storage's name.
        object_key: where it lies there.
        stored_size: its bytes, as the storage counted them.
        address: its address there.
        now: the present time.
        seconds: how long the transfer took.
    """
    request, facts = job.request, source.facts
    assert facts is not None
    return Asset(
        url=address.url,
        expires_at=address.expires_at,
        object_key=object_key,
        storage=storage,
        kind=request.kind,
        media_type=facts.media_type,
        size=stored_size,
        sha256=source.sha256,
        width=facts.width,
        height=facts.height,
        duration=facts.duration,
        fps=facts.fps,
        provider=request.provider,
        model=request.model,
        prompt=request.prompt,
        seed=job.reported_seed,
        job_id=job.job_id,
        namespace=job.namespace,
        index=index,
        created_at=now,
        tags=request.tags,
        warnings=(*_passed_over(job), *job.warnings, *_differences(job, facts.width, facts.height, facts.duration)),
        timings={**job.timings, "transfer": round(seconds, 3)},
        emulated=job.emulated or source.emulated,
    )


async def addressed(assets: Sequence[Asset], storage: Storage) -> list[Asset]:
    """Return the assets with addresses that work. One that ends by itself is recorded without what signs it, and signed anew here.

    Raises:
        StorageError: the storage could not sign it.
    """
    found: list[Asset] = []
    for asset in assets:
        if asset.expires_at is not None and "?" not in asset.url:
            address = await storage.url(asset.object_key)
            found.append(asset.model_copy(update={"url": address.url, "expires_at": address.expires_at}))
        else:
            found.append(asset)
    return found


def estimated_cost(job: Job) -> Cost:
    """Return what the job probably cost, from the published price; unknown where nothing published fits."""
    seconds = math.fsum(asset.duration or 0.0 for asset in job.assets)
    pixels = [(asset.width or 0) * (asset.height or 0) for asset in job.assets]
    return priced(job.price, kind=job.request.kind, outputs=len(job.parts), seconds=seconds, pixels=pixels)


def completed(part: Part, cost: Cost, total: float) -> Part:
    """Return the part with what is known at the end: the cost of its asset, and the seconds of the whole job."""
    if part.asset is None:
        return part
    timings = {**part.asset.timings, "total": total}
    return part.model_copy(update={"asset": part.asset.model_copy(update={"cost": cost, "timings": timings})})


def share_of(cost: Cost, number: int) -> Cost:
    """Return what one of so many outputs costs."""
    if cost.amount is None or number <= 1:
        return cost
    exact = (cost.amount / number).quantize(Decimal("0.000001"), ROUND_HALF_UP).normalize()
    amount = Decimal(f"{exact:f}")
    return cost.model_copy(update={"amount": amount, "quantity": cost.quantity / number if cost.quantity else None})


def _passed_over(job: Job) -> tuple[str, ...]:
    return tuple(f"{model} did not serve: {reason}." for model, reason in job.passed_over.items())


def _differences(job: Job, width: int | None, height: int | None, duration: float | None) -> list[str]:
    """Say where the measured file differs from what was to be expected."""
    found: list[str] = []
    expected = job.expected_size
    if expected is not None and width is not None and (width, height) != (expected.width, expected.height):
        found.append(f"The size is {width}x{height} and not {expected}.")
    if job.expected_duration is not None and duration is not None:
        tolerance = max(DURATION_TOLERANCE, 1.5 / (job.expected_fps or 24.0))
        if abs(duration - job.expected_duration) > tolerance:
            found.append(f"The duration is {duration:g} s and not {job.expected_duration:g} s.")
    return found
