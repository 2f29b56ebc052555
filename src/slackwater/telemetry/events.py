"""Log events: one line per event, ids as fields, never a request or a response body."""

import logging
from collections import Counter

log = logging.getLogger("slackwater")

# Monotonic counts since the start of the process, by name. The metrics page of the service reads them.
counters: Counter[str] = Counter()


class Fields(dict[str, object]):
    """What an event says of itself. As text it is `key=value ...`; a formatter that wants the values finds them."""

    def __str__(self) -> str:
        return " ".join(f"{key}={value}" for key, value in self.items())


def event(name: str, *, level: int = logging.INFO, **fields: object) -> None:
    """Writes `name key=value ...` to the log and counts the name."""
    counters[name] += 1
    if log.isEnabledFor(level):
        log.log(level, "%s %s", name, Fields(fields))


# How often something that may happen a thousand times a second is told, at most.
RARE_SECONDS = 60.0


class Rare:
    """Events that strangers can cause: each is counted, and told once a minute with how often it was."""

    def __init__(self) -> None:
        # For each name: when it was told last, how often it has been since, its level, and what was said last.
        self._told: dict[str, tuple[float, int, int, Fields]] = {}

    def __call__(self, name: str, *, now: float, level: int = logging.WARNING, **fields: object) -> None:
        """Counts `name` and tells it, the first time at once. `now` is in seconds that never go back."""
        counters[name] += 1
        told, times, _, _ = self._told.get(name, (now - RARE_SECONDS, 0, level, Fields()))
        self._told[name] = (told, times + 1, level, Fields(fields))
        self._tell(name, now)

    def flush(self, *, now: float) -> None:
        """Tells what has been counted and was not told yet, where its minute is over."""
        for name in self._told:
            self._tell(name, now)

    def _tell(self, name: str, now: float) -> None:
        told, times, level, fields = self._told[name]
        if times and now - told >= RARE_SECONDS:
            log.log(level, "%s %s", name, Fields(times=times, **fields))
            self._told[name] = (now, 0, level, fields)


rare = Rare()
