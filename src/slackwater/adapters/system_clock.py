"""The Clock of the real world."""

import asyncio
import time


class SystemClock:
    """The machine's time, and the event loop's waiting."""

    def now(self) -> float:
        """Seconds since 1970, UTC. Follows corrections of the machine's clock."""
        return time.time()

    # Seconds since some moment, for durations. Without a step of our own: it is asked several times for every request.
    monotonic = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        """Returns after at least `seconds`."""
        await asyncio.sleep(seconds)
