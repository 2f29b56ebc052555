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
