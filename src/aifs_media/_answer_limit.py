"""A limit for an answer as a whole. A time-out of reading counts for each read, so that a byte now and then keeps a call for ever."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import anyio

if TYPE_CHECKING:
    from collections.abc import Generator


@contextmanager
def answer_within(seconds: float) -> Generator[dict[str, Any]]:
    """Limit what happens inside from the moment a request was sent; yield the extensions that httpcore needs to tell when that is.

    Connecting and sending keep httpcore's limits, whose errors say whether anything can have left.

    Raises:
        TimeoutError: the answer's head, or what else was waited for inside, did not come to its end.
    """
    with anyio.fail_after(math.inf) as scope:

        async def trace(event: str, _info: dict[str, Any]) -> None:
            # The answer of a proxy comes before the server's, and has its own time.
            if event.endswith(".receive_response_headers.started"):
                scope.deadline = anyio.current_time() + seconds

        yield {"trace": trace}
