"""Draws the table of core/batch.py into docs/architecture.md, so that the pictures cannot drift: `draw_states.py`."""

import sys
from collections.abc import Iterable
from pathlib import Path

from slackwater.core.batch import BEGIN, BEGIN_ELSEWHERE, MOVES, TERMINAL, Stage, Status

BEGINS = (BEGIN, BEGIN_ELSEWHERE)
PAGE = Path(__file__).parent.parent / "docs" / "architecture.md"
BEGIN_LINE = "<!-- {}: drawn from core/batch.py by scripts/draw_states.py -->"
END_LINE = "<!-- {} end -->"


def _diagram(begins: Iterable[str], arrows: Iterable[str], ends: Iterable[str]) -> str:
    lines = ["```mermaid", "stateDiagram-v2", *(f"    [*] --> {begin}" for begin in dict.fromkeys(begins))]
    lines += dict.fromkeys(f"    {arrow}" for arrow in arrows)
    return "\n".join([*lines, *(f"    {end} --> [*]" for end in ends), "```"])


def statuses() -> str:
    """What users see: a mermaid diagram of the status in core.batch.MOVES."""
    arrows = (
        f"{before.value} --> {after.value}: {event.value}"
        for (_, before), events in MOVES.items()
        for event, (_, after) in events.items()
        if after is not before
    )
    return _diagram(
        (each[1].value for each in (BEGIN, BEGIN_ELSEWHERE)),
        arrows,
        (status.value for status in Status if status in TERMINAL),
    )


def stages() -> str:
    """What drives the pipeline: a mermaid diagram of the stage in core.batch.MOVES."""
    arrows = (
        f"{before.value} --> {after.value}: {event.value}"
        for (before, _), events in MOVES.items()
        for event, (after, _) in events.items()
        if after is not before
    )
    return _diagram((each[0].value for each in BEGINS), arrows, [Stage.ENDED.value])


def page() -> str:
    """The page with today's pictures."""
    text = PAGE.read_text()
    for name, picture in (("statuses", statuses()), ("stages", stages())):
        begin, end = BEGIN_LINE.format(name), END_LINE.format(name)
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{picture}\n{end}{rest.partition(end)[2]}"
    return text


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(PAGE.read_text() != page())
    PAGE.write_text(page())
