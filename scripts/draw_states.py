"""Draws the table of statuses into docs/architecture.md, so that the picture cannot drift: `draw_states.py`."""

import sys
from pathlib import Path

from slackwater.core.batch import NEXT, TERMINAL, Status

PAGE = Path(__file__).parent.parent / "docs" / "architecture.md"
BEGIN = "<!-- states: drawn from core/batch.py by scripts/draw_states.py -->"
END = "<!-- states end -->"


def picture() -> str:
    """A mermaid diagram of core.batch.NEXT."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {Status.VALIDATING.value}"]
    for status, events in NEXT.items():
        lines += [f"    {status.value} --> {after.value}: {event.value}" for event, after in events.items()]
    lines += [f"    {status.value} --> [*]" for status in Status if status in TERMINAL]
    return "\n".join([*lines, "```"])


def page() -> str:
    """The page with today's picture."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    return f"{before}{BEGIN}\n{picture()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(PAGE.read_text() != page())
    PAGE.write_text(page())
