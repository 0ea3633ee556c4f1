"""Acme's pictures and films for aifs-media."""

from __future__ import annotations

from typing import ClassVar, Literal

from aifs_media import toolkit
from aifs_media.toolkit import Capability, Failed, JsonValue, MediaRequest, Pending, RemoteFile, Succeeded

SEED: dict[str, JsonValue] = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
SIDE: dict[str, JsonValue] = {"type": "integer", "minimum": 64, "maximum": 2048, "multipleOf": 8}
SECONDS: dict[str, JsonValue] = {"type": "number", "minimum": 1, "maximum": 20, "default": 4}


class AcmeProvider(toolkit.HttpProvider):
    """Speaks to Acme. The key is in `ACME_API_KEY`."""

    name = "acme"
    base_url = "https://api.acme.example/v1"
    billing_url: ClassVar[str] = "https://acme.example/billing"
    delivery_hosts = ("files.acme.example",)
    capabilities = (
        Capability(
            kind="image",
            model="acme-sketch",
            names={"prompt": "text", "seed": "seed", "width": "width", "height": "height"},
            inputs={"seed": SEED, "width": SIDE, "height": SIDE, "style": {"enum": ["pencil", "ink"]}},
        ),
        Capability(
            kind="video",
            model="acme-motion",
            names={"prompt": "text", "seed": "seed", "duration": "seconds"},
            inputs={"seed": SEED, "seconds": SECONDS},
        ),
    )

    async def submit(self, request: MediaRequest, *, submit_key: str) -> Pending | Succeeded | Failed:
        """Create the job: once, and with exactly the inputs that were checked and recorded."""
        body: JsonValue = {"model": request.model, "inputs": request.inputs}
        return _state(await self.call("POST", "/renders", json=body, headers={"idempotency-key": submit_key}))

    async def poll(self, ref: JsonValue) -> Pending | Succeeded | Failed:
        """Ask how the job stands."""
        return _state(await self.call("GET", f"/renders/{ref}"))

    async def cancel(self, ref: JsonValue) -> Literal["cancelled", "too_late"]:
        """Stop the job."""
        state = _state(await self.call("DELETE", f"/renders/{ref}"))
        return "too_late" if isinstance(state, Succeeded) else "cancelled"


def _state(answer: JsonValue) -> Pending | Succeeded | Failed:
    match answer:
        case {"id": str(ref), "state": "done", "file": str(url)}:
            return Succeeded(ref=ref, outputs=(RemoteFile(url=url),))
        case {"id": str(ref), "state": "done"}:
            return Succeeded(ref=ref, outputs=())
        case {"id": str(ref), "state": "failed", "error": str(message)}:
            return Failed(ref=ref, reason="generation_failed", message=message, billed="no")
        case {"id": str(ref), "state": "cancelled"}:
            return Failed(ref=ref, reason="canceled", message="Acme cancelled the job.", billed="no")
        case {"id": str(ref)}:
            return Pending(ref=ref)
        case _:
            # A create that was answered like this may have been accepted all the same, so it is never sent again.
            raise toolkit.UnexpectedResponseError("Acme's answer names no job.", provider="acme", maybe_billed=True)
