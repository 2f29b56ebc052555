"""What sweeps have put aside lies under the moment of the start that did it, and goes when it has lain long enough."""

from collections.abc import Iterable
from datetime import UTC, datetime

KEPT_DAYS = 7
_FORMAT = "%Y%m%dT%H%M%SZ"


def name_of(now: float) -> str:
    """Under what a start at that moment puts things aside."""
    return datetime.fromtimestamp(now, UTC).strftime(_FORMAT)


def moment_of(name: str) -> float | None:
    """When a start has put things aside under that name; None for a name that is none of ours."""
    try:
        return datetime.strptime(name, _FORMAT).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def to_forget(names: Iterable[str], *, now: float, kept_days: int) -> list[str]:
    """Those that have lain for so many days. What is none of ours stays."""
    before = now - kept_days * 86_400
    return [name for name in names if (moment := moment_of(name)) is not None and moment < before]
