"""Acme's provider keeps the contract of aifs-media, against a server on this machine that answers as Acme does."""

from __future__ import annotations

from aifs_media_acme import AcmeProvider

from aifs_media.testing import ProviderContract, ServedJob, Service
from aifs_media.toolkit import JsonValue

STATES = {"running": "drawing", "succeeded": "done", "failed": "failed", "cancelled": "cancelled"}


class TestSketches(ProviderContract):
    """Acme's API with its first model."""

    create = "POST /renders"
    poll = "GET /renders/{id}"
    cancel = "DELETE /renders/{id}"

    def make_provider(self, service: Service) -> AcmeProvider:
        """Build it from the settings that a user would set."""
        return AcmeProvider.from_settings(service.settings("ACME"))

    def answer(self, job: ServedJob) -> JsonValue:
        """Show a job as Acme does; a state that Acme has not documented stays the word that it is."""
        shown: dict[str, JsonValue] = {"id": job.id, "state": STATES.get(job.state, job.state)}
        if job.state == "succeeded":
            shown["file"] = job.file
        if job.state == "failed":
            shown["error"] = "Out of ink."
        return shown


class TestFilms(TestSketches):
    """The same API, asked for a film."""

    model = "acme-motion"
