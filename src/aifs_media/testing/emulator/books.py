"""The emulator's account of what it was asked to do and what the real provider would have billed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aifs_media.testing.emulator.clock import Clock

_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key"})


@dataclass(frozen=True)
class PredictionRecord:
    """One accepted create, at either provider, as it stands now.

    `billed` is in `unit` ("USD" or "points") and 0.0 while nothing would be charged. `created_at` and `deadline` are
    seconds since 1970 on the emulator's clock. `fingerprint` is the same for two creates of the same model and input.
    """

    id: str
    provider: str
    model: str
    kind: str
    input: Mapping[str, object]
    status: str
    created_at: float
    cancelled: bool
    billed: float
    unit: str
    downloads: int
    deadline: float | None
    fingerprint: str


@dataclass(frozen=True)
class RequestRecord:
    """One request as it arrived. `status` is 0 when no status line was sent. Values of secret headers are masked."""

    at: float
    route: str
    method: str
    path: str
    query: str
    status: int
    header_names: tuple[str, ...]
    authorized: bool
    headers: Mapping[str, str]
    json: object


@dataclass(frozen=True)
class Books:
    """A snapshot of the account."""

    at: float
    predictions: tuple[PredictionRecord, ...]
    requests: tuple[RequestRecord, ...]

    @property
    def creates(self) -> int:
        """How many creates were accepted: each would have been paid for."""
        return len(self.predictions)

    @property
    def duplicates(self) -> dict[str, int]:
        """Fingerprints created more than once, with their counts."""
        counts = Counter(record.fingerprint for record in self.predictions)
        return {fingerprint: count for fingerprint, count in counts.items() if count > 1}

    @property
    def cancels(self) -> int:
        """How many predictions were cancelled by a request."""
        return sum(record.cancelled for record in self.predictions)

    @property
    def downloads(self) -> int:
        """How many whole or partial output files were served."""
        return sum(record.downloads for record in self.predictions)

    @property
    def leaks(self) -> int:
        """How many requests brought an Authorization header to the delivery host."""
        return sum(record.authorized for record in self.requests if record.route.startswith("delivery."))

    def billed(self, unit: str) -> float:
        """Return the sum billed in "USD" or "points"."""
        return round(sum(record.billed for record in self.predictions if record.unit == unit), 6)

    def created(self, prompt: str) -> tuple[PredictionRecord, ...]:
        """Return the accepted creates with exactly this prompt, oldest first."""
        return tuple(record for record in self.predictions if record.input.get("prompt") == prompt)

    def requested(self, route: str) -> tuple[RequestRecord, ...]:
        """Return the requests that reached a route, oldest first."""
        return tuple(record for record in self.requests if record.route == route)

    def to_json(self) -> dict[str, object]:
        """Return the snapshot as plain JSON values, with the counts."""
        return {
            "at": self.at,
            "creates": self.creates,
            "duplicates": self.duplicates,
            "cancels": self.cancels,
            "downloads": self.downloads,
            "leaks": self.leaks,
            "billed": {"USD": self.billed("USD"), "points": self.billed("points")},
            "predictions": [dataclasses.asdict(record) for record in self.predictions],
            "requests": [_without_values(record) for record in self.requests],
        }


class Entry(Protocol):
    """Something that was paid for: it can say how it stands at any time."""

    @property
    def id(self) -> str:
        """Return the provider's identifier."""
        ...

    def record(self, now: float, downloads: int) -> PredictionRecord:
        """Return its line in the books."""
        ...


@dataclass
class Arrival:
    """A request being answered; `status` is set once it is."""

    at: float
    route: str
    method: str
    path: str
    query: str
    headers: Mapping[str, str] = field(repr=False)
    json: object = None
    status: int = 0

    def record(self, *, reveal: bool) -> RequestRecord:
        """Return the public record, with secrets masked unless `reveal`."""
        shown = {name: value if reveal else _masked(name, value) for name, value in self.headers.items()}
        return RequestRecord(
            at=self.at,
            route=self.route,
            method=self.method,
            path=self.path,
            query=self.query,
            status=self.status,
            header_names=tuple(sorted(self.headers)),
            authorized="authorization" in self.headers,
            headers=shown,
            json=self.json,
        )


class BookKeeper:
    """Writes the books. Safe to read from any thread."""

    def __init__(self, clock: Clock) -> None:
        """Open empty books on this clock."""
        self._clock = clock
        self._entries: list[Entry] = []
        self._arrivals: list[Arrival] = []
        self._downloads: Counter[str] = Counter()
        self._lock = threading.Lock()

    def enter(self, entry: Entry) -> None:
        """Record an accepted create."""
        with self._lock:
            self._entries.append(entry)

    def arrive(
        self, *, route: str, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> Arrival:
        """Record a request; the caller sets `status` on what is returned once it is answered."""
        arrival = Arrival(self._clock.now(), route, method, path, query, headers, _json_of(body))
        with self._lock:
            self._arrivals.append(arrival)
        return arrival

    def downloaded(self, owner: str) -> None:
        """Record that a file of this prediction was served."""
        with self._lock:
            self._downloads[owner] += 1

    def snapshot(self) -> Books:
        """Return the books as they stand now."""
        now = self._clock.now()
        with self._lock:
            entries, arrivals, downloads = list(self._entries), list(self._arrivals), Counter(self._downloads)
        records = tuple(entry.record(now, downloads[entry.id]) for entry in entries)
        return Books(now, records, tuple(arrival.record(reveal=False) for arrival in arrivals))

    def last_request(self, route: str, *, reveal: bool = False) -> RequestRecord:
        """Return the newest request of a route.

        Raises:
            LookupError: If there was none.
        """
        with self._lock:
            arrivals = list(self._arrivals)
        for arrival in reversed(arrivals):
            if arrival.route == route:
                return arrival.record(reveal=reveal)
        known = sorted({arrival.route for arrival in arrivals})
        message = f"No request has reached {route!r} yet. Routes that were reached: {known!r}."
        raise LookupError(message)


def fingerprint(provider: str, model: str, values: Mapping[str, object]) -> str:
    """Return a short hash that two creates share if they ask one provider's model for the same thing."""
    text = json.dumps([provider, model.lower(), values], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _masked(name: str, value: str) -> str:
    if name not in _SECRET_HEADERS:
        return value
    scheme, space, _ = value.partition(" ")
    return f"{scheme} ***" if space else "***"


def _without_values(record: RequestRecord) -> dict[str, object]:
    return {
        "at": record.at,
        "route": record.route,
        "method": record.method,
        "path": record.path,
        "status": record.status,
        "header_names": list(record.header_names),
        "authorized": record.authorized,
    }


def _json_of(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError:
        return None
