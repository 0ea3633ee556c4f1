"""From a call's options to a job: model chosen, options checked, object keys fixed, clocks set."""

from __future__ import annotations

import hashlib
import json
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from aifs_media._arguments import checked_options
from aifs_media._inputs import input_file
from aifs_media._keys import encode_labels
from aifs_media._poll import lifetime
from aifs_media._select import select, split_model
from aifs_media._told import webhook_url
from aifs_media._values import as_count, as_kind, as_prompt
from aifs_media.errors import ConfigurationError, RequestRejectedError
from aifs_media.protocols import WebhookVerifier, role
from aifs_media.records import Alternative, Attempt, Job, MediaRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aifs_media._parts import Parts
    from aifs_media.call_options import ImageOptions, VideoOptions
    from aifs_media.protocols import MediaProvider
    from aifs_media.records import Capability, Kind, Script, Size


async def draft(parts: Parts, kind: Kind, prompt: str | Script, n: int, options: ImageOptions) -> Job:
    """Check a request and return it as a job. Nothing is recorded or sent, except that a model may be asked about.

    Raises:
        RequestRejectedError: the request cannot be carried out as it is, by one of the models.
        ConfigurationError: provider or storage are not set up for it.
    """
    kind, words, n = as_kind(kind), as_prompt(prompt), as_count("n", n, least=1)
    given = checked_options(kind, options)
    job_id = given.get("job_id") or uuid.uuid4().hex
    first, *others = [
        await _draft(parts, kind, words, n, {**given, "model": model, "job_id": job_id}) for model in models_of(given)
    ]
    asked = [identity(first.request), *([other.provider, other.request.model] for other in others)]
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()
    return first.model_copy(update={"asked": digest, "alternatives": tuple(map(_alternative, others))})


def models_of(options: ImageOptions) -> Sequence[str | None]:
    """Return the models that a call names, at least one; None is the default. Raises RequestRejectedError."""
    model, models = options.get("model"), options.get("models")
    if models is None:
        return [model]
    if isinstance(models, str) or not models or model is not None:
        raise RequestRejectedError(
            f"models={models!r} cannot be tried one after the other.",
            hint="Give a list of one or more models, and no model= beside it.",
        )
    return models


def _alternative(job: Job) -> Alternative:
    return Alternative.model_validate({name: getattr(job, name) for name in Alternative.model_fields})


async def _draft(parts: Parts, kind: Kind, prompt: str, n: int, options: VideoOptions) -> Job:
    name, model = choose_model(parts, kind, options.get("model"))
    image = options.get("image")
    request = MediaRequest(
        kind=kind,
        prompt=prompt,
        provider=name,
        model=model,
        n=n,
        size=cast("Size | None", options.get("size")),
        aspect_ratio=options.get("aspect_ratio"),
        seed=options.get("seed"),
        duration=options.get("duration"),
        fps=options.get("fps"),
        image=await input_file(image) if image is not None else None,
        negative_prompt=options.get("negative_prompt"),
        output_format=options.get("output_format"),
        options=dict(options.get("options") or {}),
        tags=dict(options.get("tags") or {}),
    )
    encode_labels(request.tags)
    notify_url = parts.notifier.address(options.get("notify_url"))
    chosen = await select(
        request, provider=parts.provider(name), known=parts.known, check=options.get("check_options", True)
    )
    capability = chosen.capability
    timeout = _timeout(parts, kind, options.get("timeout"), capability)
    on_cancel = options.get("on_cancel") or ("detach" if parts.ledger.durable else "cancel")
    now, job_id = parts.clock.now(), str(options.get("job_id"))
    namespace = options.get("namespace", "")
    stems = tuple(
        parts.template.render_stem(
            created_at=now, job_id=job_id, index=index, kind=kind, provider=name, namespace=namespace,
            tags=request.tags,
        )
        for index in range(max(n, capability.maximum_outputs))
    )  # fmt: skip
    limit = lifetime(timeout=timeout, on_cancel=on_cancel, limit=capability.lifetime_limit)
    return Job(
        job_id=job_id,
        namespace=namespace,
        request=chosen.request.model_copy(
            update={
                "timeout": timeout,
                "lifetime": limit,
                "webhook": _webhook(parts, chosen.provider, namespace, job_id),
            }
        ),
        seed_is_ours=chosen.seed_is_ours,
        created_at=now,
        timeout=timeout,
        lifetime=limit,
        on_cancel=on_cancel,
        on_unknown=options.get("on_unknown") or "find",
        find_window=capability.find_window,
        find_lag=capability.find_lag,
        object_stems=stems,
        image_input=capability.names.get("image", "") if image is not None else "",
        image_in_list=image is not None and _takes_list(capability),
        price=capability.price_for(chosen.inputs.values),
        expected_size=chosen.inputs.size,
        expected_duration=chosen.inputs.duration,
        expected_fps=chosen.inputs.fps,
        reported_seed=_seed(chosen.request, capability),
        warnings=chosen.inputs.warnings,
        notify_url=notify_url,
    )


def adopted(parts: Parts, provider: str, ref: str, *, kind: Kind, prompt: str, namespace: str) -> Job:
    """Return the job that stands for one which exists at a provider and in no ledger."""
    now = parts.clock.now()
    timeout = parts.settings.number(f"MEDIA_{kind.upper()}_TIMEOUT")
    job_id = uuid.uuid5(uuid.NAMESPACE_URL, f"{provider}:{ref}").hex
    stem = parts.template.render_stem(
        created_at=now, job_id=job_id, index=0, kind=kind, provider=provider, namespace=namespace, tags={}
    )
    attempt = Attempt(
        submit_key="", provider=provider, model="", started_at=now, send_by=now + timedelta(0), outcome="accepted", ref=ref
    )  # fmt: skip
    return Job(
        job_id=job_id,
        namespace=namespace,
        request=MediaRequest(kind=kind, prompt=prompt, provider=provider),
        stage="submitted",
        created_at=now,
        timeout=timeout,
        lifetime=timeout,
        on_cancel="detach",
        object_stems=(stem,),
        attempts=(attempt,),
    )


def _webhook(parts: Parts, provider: MediaProvider, namespace: str, job_id: str) -> str:
    """Return where the provider should tell that the job has ended; empty where it cannot, or nobody listens."""
    base = parts.settings.text("MEDIA_WEBHOOK_URL")
    if not base or role(provider, WebhookVerifier) is None:
        return ""
    trusted = parts.settings.items("MEDIA_TRUSTED_HOSTS")
    return webhook_url(base, provider=provider.name, namespace=namespace, job_id=job_id, trusted_hosts=trusted)


def _takes_list(capability: Capability) -> bool:
    return (capability.inputs or {}).get(capability.names.get("image", ""), {}).get("type") == "array"


def _timeout(parts: Parts, kind: Kind, asked: float | None, capability: Capability) -> float:
    """Return how long to wait: what the call says, else the settings if they were given, else what the model needs."""
    setting = f"MEDIA_{kind.upper()}_TIMEOUT"
    if asked is None:
        return (
            parts.settings.number(setting)
            if parts.settings.given(setting) or capability.timeout is None
            else capability.timeout
        )
    return asked


def choose_model(parts: Parts, kind: Kind | str, named: str | None) -> tuple[str, str]:
    """Return provider and model: what the call names beats the settings; an empty model is the provider's default.

    Raises:
        RequestRejectedError: the call names a provider and no model.
        ConfigurationError: the setting does.
    """
    default, known = parts.settings.text(f"{kind.upper()}_PROVIDER"), parts.provider_names()
    setting = f"{kind.upper()}_MODEL"
    text = named or parts.settings.text(setting)
    if not text:
        return default, ""
    name, model = split_model(text, default_provider=default, known_providers=known)
    if model.strip():
        return name, model
    # The provider's default would be paid for in place of what somebody meant to name.
    hint = "Name a model after the colon, or leave it out for the default one."
    if named:
        raise RequestRejectedError(f"model={named!r} names a provider and no model.", hint=hint)
    raise ConfigurationError(f"{setting}={text!r} names a provider and no model.", hint=hint)


def _seed(request: MediaRequest, capability: Capability) -> int | None:
    value = request.inputs.get(capability.names.get("seed", ""))
    return int(value) if isinstance(value, int | str) and str(value).isdecimal() else None


def identity(request: MediaRequest) -> dict[str, object]:
    """Return what makes two requests the same: all that the caller chose, and nothing that we filled in."""
    chosen = request.model_dump(exclude={"inputs", "lifetime", "timeout", "webhook", "image"})
    chosen["image"] = (request.image.sha256 or request.image.url) if request.image else None
    return chosen
