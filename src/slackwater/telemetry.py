"""Names of what happens: log events and counters. One line per event, ids as fields, never a request or a response body."""

import logging
from collections import Counter

log = logging.getLogger("slackwater")

# Monotonic counts since the start of the process, by name. The metrics page of the service reads them.
counters: Counter[str] = Counter()


def event(name: str, *, level: int = logging.INFO, **fields: object) -> None:
    """Writes `name key=value ...` to the log and counts the name."""
    counters[name] += 1
    if log.isEnabledFor(level):
        log.log(level, "%s %s", name, " ".join(f"{key}={value}" for key, value in fields.items()))
