"""When the disk will be full, if it goes on as in the last days."""

import os
import sqlite3
from pathlib import Path

from slackwater.wiring.doctor.finding import Finding, ok, warning

ABOUT = "disk space"
DAY = 86_400
# What the disk will do is told from so many days, and worth a warning where it is full in fewer.
GROWTH_DAYS, FULL_DAYS = 7, 14
# Less than this a day is nothing.
LITTLE_BYTES = 1 << 20


def growth_findings(ledger: sqlite3.Connection, directory: Path, now: float) -> list[Finding]:
    """What came in the last days and is still there, against the room that is left; nothing where that is next to nothing."""
    since = int(now) - GROWTH_DAYS * DAY
    first = ledger.execute("SELECT min(created_at) FROM file").fetchone()[0]
    if first is None or first > now - DAY:
        return []
    # What was deleted meanwhile is not there any more, and so does not count.
    files = ledger.execute("SELECT coalesce(sum(size), 0) FROM file WHERE created_at >= ?", (since,)).fetchone()[0]
    batches, total = ledger.execute(
        "SELECT count(*) FILTER (WHERE created_at >= ?), count(*) FROM batch", (since,)
    ).fetchone()
    pages, size = (ledger.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    days = min(GROWTH_DAYS, (now - first) / DAY)
    a_day = (files + pages * size * batches / max(1, total)) / days
    if a_day < LITTLE_BYTES:
        return []
    disk = os.statvfs(directory)
    left = disk.f_bavail * disk.f_frsize / a_day
    message = f"{a_day / (1 << 20):,.0f} MiB more a day (last {days:.0f} days): full in about {left:,.0f} days"
    if left < FULL_DAYS:
        return [
            warning(ABOUT, message, "make room, or keep things for some time only ([retention] in the configuration)")
        ]
    return [ok(ABOUT, message)]
