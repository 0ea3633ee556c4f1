"""Everything the emulated services share: time, books, faults, files and the switches a test may turn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from aifs_media.testing.emulator.books import BookKeeper
from aifs_media.testing.emulator.clock import Clock
from aifs_media.testing.emulator.faults import FaultQueue
from aifs_media.testing.emulator.outputs import OutputShelf

STABILITY_KEY = "sk-emulated-00000000000000000000000000000000000000"


@dataclass
class Switches:
    """How the emulated services behave. Every value may be changed while they run.

    Attributes:
        latency: Seconds a generation runs, on the emulator's clock.
        queue_time: Seconds it waits in the queue before that.
        retention: Seconds after which Replicate drops outputs, inputs and logs.
        replicate_credit: USD left. 0 or less answers 402; under 5 limits creates to 6 a minute, one at a time.
        replicate_frame_rate: Frames per second of films by models at Replicate that take no rate. Fewer are drawn sooner; the
            duration stays.
        held_status: What a held create (`Prefer: wait`) says about a finished prediction.
        poe_points: Points bought. The balance is this less what was spent; 0 or less answers 402.
        poe_history_form: Which of the two documented forms points_history has.
        unlisted_bots: Poe bots that can be called though GET /v1/models does not list them.
        runway_credits: Credits bought at Runway. The balance is these less what was charged.
        runway_concurrency: How many tasks of one model run at a time at Runway; more are throttled.
        stability_credits: Stability AI's credits bought. The balance is this less what was spent; less than a picture costs
            answers 402.
        openai_credit: USD left at OpenAI; 0 or less answers 429 `insufficient_quota`.
        openai_verified: Whether OpenAI has verified the organization; without it, creates answer 403.
        url_query: What stands behind the question mark of every output's URL, as a signature would; empty for none.
        fal_credit: USD left at fal. 0 or less answers creates with 403.
        refuse_leaked_key: Whether the delivery host answers 403 to a request that carries an Authorization header.
    """

    latency: float = 0.0
    queue_time: float = 0.0
    retention: float = 3600.0
    replicate_credit: float = 100.0
    replicate_frame_rate: float = 24.0
    held_status: Literal["processing", "succeeded"] = "processing"
    poe_points: int = 1_000_000
    poe_history_form: Literal["reference", "guide"] = "reference"
    unlisted_bots: frozenset[str] = frozenset({"Video-Generator-PRO"})
    runway_credits: int = 10_000
    runway_concurrency: int = 2
    stability_credits: float = 1000.0
    openai_credit: float = 100.0
    openai_verified: bool = True
    url_query: str = ""
    refuse_leaked_key: bool = False
    fal_credit: float = 100.0


@dataclass
class World:
    """One emulator's state. URLs have no trailing slash."""

    replicate_token: str = field(repr=False)
    poe_key: str = field(repr=False)
    runway_key: str = field(repr=False)
    openai_key: str = field(repr=False)
    fal_key: str = field(repr=False)
    base_url: str
    delivery_url: str
    switches: Switches
    stability_key: str = field(default=STABILITY_KEY, repr=False)
    clock: Clock = field(default_factory=Clock)
    faults: FaultQueue = field(default_factory=FaultQueue)
    shelf: OutputShelf = field(default_factory=OutputShelf)
    prompts: dict[str, str] = field(default_factory=dict[str, str])
    books: BookKeeper = field(init=False)

    def __post_init__(self) -> None:
        """Open the books on the world's clock."""
        self.books = BookKeeper(self.clock)

    def output_url(self, path: str, query: str = "") -> str:
        """Return the address of a file on the delivery host."""
        queries = "&".join(filter(None, (query, self.switches.url_query)))
        return f"{self.delivery_url}{path}?{queries}" if queries else f"{self.delivery_url}{path}"
