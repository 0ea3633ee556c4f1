"""The options of `image`, `images`, `video` and `start`, for those who pass them on in typed code of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from pydantic import JsonValue

    from aifs_media.records import Asset, InputFile, OnCancel, OnUnknown, Size


class JobOptions(TypedDict, total=False):
    """Options of every job.

    Attributes:
        model: `model`, or `provider:model`. By default the provider and model of the settings.
        models: several, tried in this order: the next one only after the one before has failed for certain and unbilled, or its
            cancelling was confirmed and is not charged for. Each must be able to do what is asked. The asset says which one served, and why.
        seed: makes the result repeatable, where the model has one.
        image: a start frame: an https URL, a path, bytes, or an earlier asset.
        negative_prompt: what should not be seen.
        options: the model's own options by their own names, checked before anything is paid.
        check_options: False sends `options` as they are.
        tags: labels that travel with job and asset, for example tenant, campaign, creative.
        timeout: seconds to wait for the provider.
        on_cancel: what happens at the provider when the wait ends early: "cancel" or "detach".
        on_unknown: what happens when a create's answer is lost at a provider that cannot be searched: "find" (the default) is an
            error, "retry" sends it again, up to three times in all, at the risk of paying for each.
        notify_url: address that is told, by a webhook signed with MEDIA_NOTIFY_SECRET, when the job has ended; see
            aifs_media.notification. By default MEDIA_NOTIFY_URL.
        job_id: your own id; the same id with the same request joins the existing job.
        namespace: whose job it is.
    """

    model: str | None
    models: Sequence[str] | None
    seed: int | None
    image: str | bytes | os.PathLike[str] | Asset | InputFile | None
    negative_prompt: str | None
    options: Mapping[str, JsonValue] | None
    check_options: bool
    tags: Mapping[str, str] | None
    timeout: float | None
    on_cancel: OnCancel | None
    on_unknown: OnUnknown | None
    notify_url: str | None
    job_id: str | None
    namespace: str


class ImageOptions(JobOptions, total=False):
    """Options of an image.

    Attributes:
        size: "1024x768" or a Size, in pixels. The nearest aspect ratio where the model takes no size; the asset says so.
        aspect_ratio: for example "16:9".
        output_format: for example "png".
    """

    size: str | Size | None
    aspect_ratio: str | None
    output_format: str | None


class VideoOptions(ImageOptions, total=False):
    """Options of a video.

    Attributes:
        duration: seconds.
        fps: frames per second.
    """

    duration: float | None
    fps: float | None
