"""The emulator as a Python object: start it, script it, read its books, stop it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Self

from aifs_media.testing.emulator.application import Application
from aifs_media.testing.emulator.faults import Fault, Kind, Route
from aifs_media.testing.emulator.server import HOST, ServerThread
from aifs_media.testing.emulator.world import Switches, World

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from types import TracebackType

    from aifs_media.testing.emulator.books import Books, RequestRecord
    from aifs_media.testing.emulator.clock import Clock

REPLICATE_TOKEN = "r8_emulated0000000000000000000000000000"  # noqa: S105 - opens nothing but the emulator
POE_KEY = "poe-emulated-0000000000000000000000000000"
RUNWAY_KEY = "key_" + "0" * 128
OPENAI_KEY = "sk-emulated-0000000000000000000000000000"
FAL_KEY = "e1a7e000-0000-4000-8000-00000000fa1f:emulated-fal-secret"


class Emulator:
    """The providers and their delivery host on this machine, in a thread of their own.

    Use it as a context manager, from synchronous code or from any event loop:

        with Emulator() as emulator:
            generator = MediaGenerator.from_env(emulator.settings())

    Attributes:
        base_url: The API listener, `http://127.0.0.1:PORT`.
        replicate_url: Replicate's base URL, `…/replicate/v1`.
        poe_url: Poe's base URL, `…/poe/v1`.
        runway_url: Runway's base URL, `…/runway`.
        stability_url: Stability AI's base URL, `…/stability`.
        openai_url: OpenAI's base URL, `…/openai/v1`.
        compatible_url: Base URL of a server that copies OpenAI's image API and needs no key, `…/compatible/v1`.
        fal_url: The base URL of fal's queue, `…/fal`.
        delivery_url: The second listener, which hands out the files.
        switches: How the services behave; change any of it at any time.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        delivery_port: int = 0,
        latency: float = 0.0,
        queue_time: float = 0.0,
        unlisted_bots: Collection[str] = ("Video-Generator-PRO",),
        refuse_leaked_key: bool = False,
        replicate_token: str = REPLICATE_TOKEN,
        poe_key: str = POE_KEY,
        runway_key: str = RUNWAY_KEY,
        openai_key: str = OPENAI_KEY,
        fal_key: str = FAL_KEY,
    ) -> None:
        """Describe an emulator; nothing listens before `start` or `with`.

        Args:
            port: Port of the API; 0 takes a free one.
            delivery_port: Port of the delivery host; 0 takes a free one.
            latency: Seconds a generation runs, on the emulator's clock.
            queue_time: Seconds it waits in Replicate's queue before that.
            unlisted_bots: Poe bots that can be called though the catalogue does not list them; with none of them,
                `Video-Generator-PRO` answers 404.
            refuse_leaked_key: Whether the delivery host answers 403 to requests with an Authorization header.
            replicate_token: The only token the emulated Replicate accepts.
            poe_key: The only key the emulated Poe accepts.
            runway_key: The only key the emulated Runway accepts.
            openai_key: The only key the emulated OpenAI accepts.
            fal_key: The only key the emulated fal accepts.
        """
        self.switches = Switches(
            latency=latency,
            queue_time=queue_time,
            unlisted_bots=frozenset(unlisted_bots),
            refuse_leaked_key=refuse_leaked_key,
        )
        self._ports = (port, delivery_port)
        self._world = World(
            replicate_token,
            poe_key,
            runway_key,
            openai_key,
            fal_key,
            base_url="",
            delivery_url="",
            switches=self.switches,
        )
        self._server: ServerThread | None = None

    def start(self) -> Self:
        """Listen, and return when requests are answered.

        Raises:
            OSError: If a port is taken.
            RuntimeError: If it was started before, or the server does not come up.
        """
        if self._server is not None:
            message = "This emulator was started before. Make a new one: its books and its clock belong to one run."
            raise RuntimeError(message)
        port, delivery_port = self._ports
        server = ServerThread(port=port, delivery_port=delivery_port, clock=self._world.clock)
        self._world.base_url = f"http://{HOST}:{server.port}"
        self._world.delivery_url = f"http://{HOST}:{server.delivery_port}"
        self._server = server
        server.start(Application(self._world, delivery_port=server.delivery_port))
        return self

    def stop(self) -> None:
        """Close every connection, hanging ones included, and free the ports."""
        if self._server is not None:
            self._server.stop()

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    @property
    def base_url(self) -> str:
        """Return the API listener's URL."""
        return self._world.base_url

    @property
    def delivery_url(self) -> str:
        """Return the delivery listener's URL."""
        return self._world.delivery_url

    @property
    def replicate_url(self) -> str:
        """Return the base URL of the emulated Replicate."""
        return f"{self.base_url}/replicate/v1"

    @property
    def poe_url(self) -> str:
        """Return the base URL of the emulated Poe."""
        return f"{self.base_url}/poe/v1"

    @property
    def runway_url(self) -> str:
        """Return the base URL of the emulated Runway."""
        return f"{self.base_url}/runway"

    @property
    def stability_url(self) -> str:
        """Return the base URL of the emulated Stability AI."""
        return f"{self.base_url}/stability"

    @property
    def openai_url(self) -> str:
        """Return the base URL of the emulated OpenAI."""
        return f"{self.base_url}/openai/v1"

    @property
    def compatible_url(self) -> str:
        """Return the base URL of the emulated server that copies OpenAI's image API."""
        return f"{self.base_url}/compatible/v1"

    @property
    def fal_url(self) -> str:
        """Return the base URL of the emulated queue of fal."""
        return f"{self.base_url}/fal"

    @property
    def clock(self) -> Clock:
        """Return the emulator's clock."""
        return self._world.clock

    @property
    def replicate_credit(self) -> float:
        """Return or set the USD left at Replicate: 0 answers 402, under 5 slows creates down."""
        return self.switches.replicate_credit

    @replicate_credit.setter
    def replicate_credit(self, usd: float) -> None:
        self.switches.replicate_credit = usd

    def settings(self) -> dict[str, str]:
        """Return the settings that point a client here, by their environment names."""
        origin, delivery = (url.removeprefix("http://") for url in (self.base_url, self.delivery_url))
        return {
            "REPLICATE_BASE_URL": self.replicate_url,
            "REPLICATE_API_KEY": self._world.replicate_token,
            "POE_API_URL": self.poe_url,
            "POE_API_KEY": self._world.poe_key,
            "RUNWAYML_BASE_URL": self.runway_url,
            "RUNWAYML_API_SECRET": self._world.runway_key,
            "STABILITY_BASE_URL": self.stability_url,
            "STABILITY_API_KEY": self._world.stability_key,
            "OPENAI_BASE_URL": self.openai_url,
            "OPENAI_API_KEY": self._world.openai_key,
            "OPENAI_COMPATIBLE_BASE_URL": self.compatible_url,
            "OPENAI_COMPATIBLE_DELIVERY_HOSTS": delivery,
            "FAL_BASE_URL": self.fal_url,
            "FAL_KEY": self._world.fal_key,
            "FAL_WEBHOOK_KEYS_URL": f"{self.fal_url}/.well-known/jwks.json",
            "REPLICATE_DELIVERY_HOSTS": delivery,
            "FAL_DELIVERY_HOSTS": delivery,
            "POE_DELIVERY_HOSTS": delivery,
            "RUNWAY_DELIVERY_HOSTS": delivery,
            "MEDIA_TRUSTED_HOSTS": f"{origin},{delivery}",
        }

    def books(self) -> Books:
        """Return what was created, cancelled, billed and downloaded so far."""
        return self._world.books.snapshot()

    def last_request(self, route: Route, *, reveal: bool = False) -> RequestRecord:
        """Return the newest request of a route; keys in its headers are masked unless `reveal`.

        Raises:
            LookupError: If no request has reached the route.
        """
        return self._world.books.last_request(route, reveal=reveal)

    def advance(self, seconds: float) -> float:
        """Move the emulator's clock forward and return its new time, in seconds since 1970."""
        return self._world.clock.advance(seconds)

    def fault(
        self,
        route: Route,
        kind: Kind,
        *,
        times: int = 1,
        match: str = "",
        status: int = 500,
        body: str | Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        text: str = "",
        url: str = "",
        seconds: float = 0.0,
        size: int = 0,
        count: int = 1,
    ) -> None:
        """Script a fault for requests to come; `Fault` says what each keyword means.

        Raises:
            ValueError: If the route or the kind does not exist.
        """
        self._world.faults.add(
            Fault(
                route=route,
                kind=kind,
                times=times,
                match=match,
                status=status,
                body=body if isinstance(body, str) or body is None else json.dumps(body),
                headers=dict(headers or {}),
                text=text,
                url=url,
                seconds=seconds,
                size=size,
                count=count,
            )
        )

    def clear_faults(self) -> None:
        """Forget the faults that have not struck yet."""
        self._world.faults.clear()
