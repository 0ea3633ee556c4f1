"""The one table of what is tried again, and the policy behind every retry.

Only calls that cost nothing are retried here: reads, downloads, uploads and creates that provably did not arrive. Whether a
call may be retried is the error's own `retryable`; how long to wait is the server's word first, then 1 s, 2 s, 4 s with jitter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import stamina

from aifs_media.errors import MediaError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

ATTEMPTS = 3
FIRST_WAIT = 1.0
LONGEST_WAIT = 4.0
LONGEST_RETRY_AFTER = 60.0

RETRYABLE_STATUSES = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
"""HTTP statuses of a call that costs nothing after which the same call may succeed."""


def wait_before(attempt: int, error: MediaError, *, remaining: float | None = None) -> float | None:
    """Return the seconds to wait after failed attempt number `attempt` (from 1), or None to give up.

    `remaining` is how much time is left: a wait that would not fit is not begun.
    """
    if not error.retryable:
        return None
    wait = min(FIRST_WAIT * 2.0 ** (attempt - 1), LONGEST_WAIT)
    if error.retry_after is not None:
        if error.retry_after > LONGEST_RETRY_AFTER:
            return None
        wait = max(error.retry_after, 0.0)
    if remaining is not None and wait >= remaining:
        return None
    return wait


async def retrying(
    operation: Callable[[], Awaitable[T]],
    *,
    attempts: int = ATTEMPTS,
    on_retry: Callable[[MediaError, float], None] | None = None,
) -> T:
    """Call `operation` until it succeeds, at most `attempts` times, as long as its error is retryable.

    The context form of stamina is used, since its decorator logs a call's arguments, and those may hold a prompt.
    """
    number = 0

    def wait_or_give_up(error: Exception) -> bool | float:
        if not isinstance(error, MediaError) or number >= attempts:
            return False
        wait = wait_before(number, error)
        if wait is None:
            return False
        if on_retry is not None:
            on_retry(error, wait)
        # stamina adds jitter to waits it computes itself, and takes a number as it is.
        return wait

    async for attempt in stamina.retry_context(on=wait_or_give_up, attempts=attempts, timeout=None):
        with attempt:
            number = attempt.num
            return await operation()
    message = "unreachable: the last attempt either returns or raises"
    raise AssertionError(message)
