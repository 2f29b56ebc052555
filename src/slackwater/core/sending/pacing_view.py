"""How an engine is paced, for whoever looks: what is known of its metrics page, and what was read there a moment ago."""

from collections.abc import Callable
from enum import StrEnum

import msgspec
from msgspec import Struct

from slackwater.core.sending.pace import USUAL, EnginePace

OTHERS_WAIT = "others wait for capacity"
CACHE_FULL = "its cache is nearly full"
TOO_SLOW = "even one request more would be more than the pace allows"


class State(StrEnum):
    """What is known of the page."""

    LOOKING = "looking"
    """Nobody has looked yet."""
    PACED = "paced"
    LOST = "lost"
    """It was there, and is not."""
    ABSENT = "absent"
    ANSWERS = "answers"
    """There is none, and an operator has named a pace: how long answers take says how busy it is."""
    OFF = "off"
    """Nobody is to look: the pace is `fixed`."""


class PacingView(Struct, frozen=True, kw_only=True):
    """How an engine is paced now. Times are seconds; what is not known is None.

    What was read is there only while somebody reads it, which is while there is something to send.
    """

    pace: EnginePace
    said: bool = False
    """Whether an operator has said so while the service ran; that goes before what is configured."""
    configured: EnginePace = USUAL
    """What holds where nobody has said anything."""
    state: State
    why: str = ""
    """Why its page is not read, where it answered or could not be reached; empty where there is none, and where it is read."""
    window: int | None = None
    """How many requests of ours may be out."""
    in_flight: int = 0
    """How many are, of all deployments."""
    others: float | None = None
    """Requests of others that run or wait there."""
    waiting: float | None = None
    """Requests of anybody that wait there until the engine begins with them."""
    step: float | None = None
    felt: float | None = None
    """A step as whoever waits for an answer feels it."""
    alone: float | None = None
    """What that would be without us."""
    target: float | None = None
    """Up to which step the window grows; None where nobody else is there."""
    slice: int | None = None
    """Longer prompts go in slices of so many tokens; None where they go whole."""
    frozen: str = ""
    """Why nothing new is sent; empty where it is."""
    frozen_since: float | None = None
    """A monotonic moment."""
    slower: float | None = None
    """How many times slower others' slow steps were than without us, over about the last hour of them."""
    slower_most: float | None = None
    """How many times slower the pace allows; None where it promises nothing."""

    @property
    def seen(self) -> bool:
        """Whether the engine's page is being read."""
        return self.others is not None

    @property
    def shared(self) -> bool:
        """Whether others are there, and how long their steps take is known."""
        return self.others is not None and self.others > 0.5 and self.alone is not None


def told(view: PacingView, moment: Callable[[float], int]) -> PacingView:
    """The same with its moment as seconds since 1970, which `moment` makes of a monotonic one."""
    since = view.frozen_since
    return view if since is None else msgspec.structs.replace(view, frozen_since=float(moment(since)))
