"""How many connections each worker of a gateway holds, for the others to see: who has fewer takes the next.

All workers listen on one socket, and the kernel lets whoever is quicker have a connection. A client keeps it for all
that it asks, so luck at the start would leave one worker with nearly all the work for as long as the clients stay.

The counts lie in memory that the master makes before it forks: one slot a worker, written by that worker alone. A
count that is old or wrong costs a new connection some milliseconds and nothing else.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable

#: What a slot says that no worker has: more than any worker holds, so nobody waits for it.
NOBODY = 2**31 - 1
#: More workers than this do without.
SLOTS = 128
#: A connection is left to the others for so long, times how many more this worker holds, and never for longer: where
#: the processors are busy, another one may need some milliseconds to wake.
LEAVE_SECONDS, LEAVE_SECONDS_MAX = 0.001, 0.008
#: One look at a connection that is left to the others; then it is looked again whether it is still there.
LOOK_SECONDS = 0.0001
#: Waiting may take this part of the time at most, saved up for so many seconds: clients that come with a
#: connection for each request are not to pay for those that stay.
WAITING_SHARE = 0.02
WAITING_SAVED_SECONDS = 2.0


class Crowd:
    """The slots, in shared memory. Made by the master."""

    def __init__(self) -> None:
        self._slots = memoryview(mmap.mmap(-1, 4 * SLOTS)).cast("i")
        self._taken = [False] * SLOTS
        for slot in range(SLOTS):
            self._slots[slot] = NOBODY

    def enter(self) -> int | None:
        """A free slot for a worker that is about to be forked; None when there is none. In the master."""
        slot = next((free for free, taken in enumerate(self._taken) if not taken), None)
        if slot is not None:
            self._taken[slot] = True
        return slot

    def leave(self, slot: int) -> None:
        """Its worker is gone. In the master."""
        self._taken[slot] = False
        self._slots[slot] = NOBODY

    def tell(self, slot: int, connections: int) -> None:
        """So many this worker holds. In the worker."""
        self._slots[slot] = connections

    def fewest(self, but: int) -> int:
        """The smallest count of the other workers."""
        return min(min(self._slots[:but], default=NOBODY), min(self._slots[but + 1 :], default=NOBODY))


class Manners:
    """One worker's way of letting others go first.

    Args:
        slot: this worker's.
        clock: seconds, monotonic; `sleep` waits for so many.
    """

    def __init__(
        self,
        crowd: Crowd,
        slot: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._crowd, self._slot = crowd, slot
        self._clock, self._sleep = clock, sleep
        self._saved, self._saved_at = WAITING_SAVED_SECONDS * WAITING_SHARE, clock()
        self._waits_since: float | None = None
        self._told = -1

    def tell(self, connections: int) -> None:
        """So many this worker holds now."""
        if connections != self._told:
            self._told = connections
            self._crowd.tell(self._slot, connections)

    def leaves_it(self) -> bool:
        """Whether a connection that came is left to the others for now; after a moment one is asked again."""
        more = self._told - self._crowd.fewest(but=self._slot)
        if more <= 0:
            self._waits_since = None
            return False
        now = self._clock()
        self._saved = min(WAITING_SAVED_SECONDS * WAITING_SHARE, self._saved + (now - self._saved_at) * WAITING_SHARE)
        self._saved_at = now
        if self._waits_since is None or now - self._waits_since > 2 * LEAVE_SECONDS_MAX:
            self._waits_since = now
        if now - self._waits_since >= min(LEAVE_SECONDS * more, LEAVE_SECONDS_MAX) or self._saved < LOOK_SECONDS:
            self._waits_since = None
            return False
        self._sleep(LOOK_SECONDS)
        self._saved -= self._clock() - now
        return True
