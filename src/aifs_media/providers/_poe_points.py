"""Poe's own books: the point balance and what single calls have cost. Pure.

Nothing ties an entry of the history to a call: it is found by bot and time, and only where no other call can be meant.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from aifs_media.providers._poe_answers import moment
from aifs_media.providers._reading import number
from aifs_media.toolkit import Cost, JsonValue

if TYPE_CHECKING:
    from datetime import datetime

HISTORY_LIMIT = 100
"""Entries of one page, the most there can be."""


def cost_from_history(body: JsonValue, *, bot: str, since: datetime) -> Cost | None:
    """Return the cost of the only call of a bot since that moment, or None where there is none or more than one.

    The guide names `app_name` and seconds, the reference `bot_name` and microseconds; both are read.

    Args:
        body: a page of `/usage/points_history`, newest first.
        bot: the bot's name; case does not matter.
        since: when the create was begun.
    """
    history = body if isinstance(body, dict) else {}
    data = history.get("data")
    points: list[int | float] = []
    complete = history.get("has_more") is not True
    for entry in data if isinstance(data, list) else []:
        created = moment(entry.get("creation_time")) if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or created is None:
            return None
        # Seconds are whole in one of the two forms, so a call may seem to begin before it did.
        if created < (since if created.microsecond else since.replace(microsecond=0)):
            complete = True
            break
        name, spent = entry.get("bot_name") or entry.get("app_name"), number(entry.get("cost_points"))
        if isinstance(name, str) and name.lower() == bot.lower():
            if spent is None:
                return None
            points.append(spent)
    if not complete or len(points) != 1:
        return None
    return Cost(
        amount=Decimal(str(points[0])),
        currency="points",
        basis="points",
        quantity=float(points[0]),
        status="reported",
        source="Poe points history",
    )


def balance(body: JsonValue) -> int | float | None:
    """Return the points left, or None where the answer does not say."""
    return number(body.get("current_point_balance")) if isinstance(body, dict) else None


class CallsInFlight:
    """Which calls ran beside another call of the same bot, so that their history entries could be mixed up."""

    def __init__(self) -> None:
        self._running: dict[str, set[str]] = {}
        self._mixed: set[str] = set()

    def begin(self, bot: str, key: str) -> None:
        """Note that a call leaves."""
        running = self._running.setdefault(bot.lower(), set())
        if running:
            self._mixed |= running | {key}
        running.add(key)

    def end(self, bot: str, key: str) -> None:
        """Note that a call has ended."""
        running = self._running.get(bot.lower(), set())
        running.discard(key)
        if not running:
            self._running.pop(bot.lower(), None)

    def told_apart(self, key: str) -> bool:
        """Say whether a call ran alone, and forget it."""
        mixed = key in self._mixed
        self._mixed.discard(key)
        return not mixed
