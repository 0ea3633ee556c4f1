"""The built-in providers keep the contract that strangers' providers are put to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from aifs_media.providers.poe import PoeProvider
from aifs_media.providers.replicate import ReplicateProvider
from aifs_media.providers.runway import RunwayProvider
from aifs_media.testing import ProviderContract, Reply, ServedJob, Service

if TYPE_CHECKING:
    from aifs_media.protocols import MediaProvider


class TestReplicate(ProviderContract):
    """Predictions that are polled."""

    create = "POST /predictions"
    poll = "GET /predictions/{id}"
    cancel = "POST /predictions/{id}/cancel"
    states: ClassVar[dict[str, str]] = {"running": "processing", "cancelled": "canceled"}

    def make_provider(self, service: Service) -> MediaProvider:
        return ReplicateProvider.from_settings(service.settings("REPLICATE"))

    def answer(self, job: ServedJob) -> Any:
        return {
            "id": job.id,
            "status": self.states.get(job.state, job.state),
            "output": list(job.files) if job.state == "succeeded" else None,
            "error": "CUDA out of memory" if job.state == "failed" else None,
            "created_at": "2026-01-01T12:00:00.000Z",
            "input": job.request["input"],
            "urls": {},
        }


class TestRunway(ProviderContract):
    """Tasks whose states are written in capitals, and which are no longer there when they were cancelled."""

    model = "gen4_image"
    create = "POST /v1/text_to_image"
    poll = "GET /v1/tasks/{id}"
    cancel = "DELETE /v1/tasks/{id}"

    def make_provider(self, service: Service) -> MediaProvider:
        settings = service.settings("RUNWAY")
        return RunwayProvider.from_settings(
            {**settings, "RUNWAYML_API_SECRET": service.key, "RUNWAYML_BASE_URL": service.base_url}
        )

    def answer(self, job: ServedJob) -> Any:
        shown: dict[str, Any] = {"id": job.id, "status": job.state.upper(), "createdAt": "2026-01-01T12:00:00.000Z"}
        if job.state == "succeeded":
            shown["output"] = list(job.files)
        if job.state == "failed":
            shown.update({"failure": "no luck", "failureCode": "INTERNAL.BAD_OUTPUT.CODE01"})
        return shown


class TestPoe(ProviderContract):
    """A chat whose one answer holds the picture."""

    create = "POST /chat/completions"
    # A 500 with an error of Poe's is how it says that a bot failed; this is a gateway's.
    refusals: ClassVar[dict[Any, Reply]] = {**ProviderContract.refusals, "broken": Reply(502, "bad gateway")}

    def make_provider(self, service: Service) -> MediaProvider:
        return PoeProvider.from_settings({**service.settings("POE"), "POE_API_URL": service.base_url})

    def answer(self, job: ServedJob) -> Any:
        if job.state == "failed":
            return Reply(200, {"error": {"code": 500, "type": "provider_error", "message": "no luck"}})
        content = f"![a fox]({job.file})" if job.file else "I cannot do that."
        message = {"role": "assistant", "content": content}
        reason = "stop" if job.state == "succeeded" else job.state
        return {"id": job.id, "choices": [{"index": 0, "message": message, "finish_reason": reason}]}
