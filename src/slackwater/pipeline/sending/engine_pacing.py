"""Pacing at one engine: hears what its metrics page says (`page_watch`), and tells lanes whether one more may go.

Before: the engine, whose lanes ask. After: core/sending/pacing.py, which decides. What must hold: an engine whose page is not
found works as if nobody looked, and one whose page is lost is never without a lane for longer than a few looks.
"""

import logging
import math
from typing import Protocol

import msgspec

from slackwater.core.accounts.usage import Usage
from slackwater.core.sending.door import Door
from slackwater.core.sending.engine_counters import Counters
from slackwater.core.sending.late_peers import LateLooks
from slackwater.core.sending.latency_pacing import LatencyPacer
from slackwater.core.sending.pace import USUAL, EnginePace
from slackwater.core.sending.pacing import FIRST_WINDOW, FOREVER, NOBODY, Pacer
from slackwater.core.sending.pacing_view import CACHE_FULL, OTHERS_WAIT, TOO_SLOW, PacingView, State
from slackwater.core.sending.request import Request
from slackwater.core.sending.step_target import Point, StepTarget
from slackwater.pipeline.sending.canary import Canary, may_be_streamed
from slackwater.pipeline.sending.engine_use import Use
from slackwater.pipeline.sending.lease import Item
from slackwater.pipeline.sending.page_watch import NO_PAGE, Looked, PageWatch
from slackwater.pipeline.sending.prompt_reading import Reading, Readings
from slackwater.ports import Clock, PeerSeat
from slackwater.telemetry import counters, event

# After so many looks in a row that brought nothing, the page is lost.
LOST_LOOKS = 3
# What was seen so long ago says nothing of the time since.
STALE_SECONDS = 3.0
# What the size of a prompt is smoothed by, and a line's bytes in a token where validation has counted none.
SMOOTH, BYTES_PER_TOKEN = 0.2, 4.0


class Paced(Looked, Protocol):
    """An engine, for who paces it."""

    slots: int
    """How many calls may be out from here."""

    @property
    def together(self) -> int | None:
        """How many may be out from all members; None where all are ours."""
        ...

    @property
    def in_flight(self) -> int:
        """How many calls are out."""
        ...

    def call_where_open(self, now: float) -> None:
        """Lets a lane look where there is work and a way to send it."""
        ...

    def pacing_changed(self) -> None:
        """Whether lanes have to ask has changed, or how many calls may be out."""
        ...


class Pacing:
    """That of one engine."""

    def __init__(
        self,
        engine: Paced,
        clock: Clock,
        configured: EnginePace | None = None,
        *,
        slices: bool = True,
        seat: PeerSeat | None = None,
    ) -> None:
        """`configured` is what its configuration says; without it, it is paced where its page is found. `slices`: whether
        long prompts may go in slices. At `seat` other servers of ours are heard.
        """
        self._slices = slices
        self._engine = engine
        self._clock = clock
        self._configured = configured
        self._seat = seat
        self._peers = 0
        self._said: EnginePace | None = None
        self._pacer: Pacer | None = None
        self._by_answers: LatencyPacer | None = None
        self._state = State.OFF if self.pace.point is Point.FIXED else State.ABSENT
        self.limits = False
        """Whether lanes have to ask before they take."""
        # Looks in a row that brought nothing.
        self._failures = 0
        # Nobody has looked since somebody came who would send.
        self._unlooked = False
        # Why there is no page, for people.
        self._why = ""
        self._looked_at = -math.inf
        self._counters: Counters | None = None
        self._tokens = 0.0
        self._canary: Canary | None = None
        self._readings = Readings()
        # Requests that are to go in slices and have not begun to.
        self._ahead: dict[Item, Reading] = {}
        self.frozen_since: float | None = None
        """Since when nothing new is sent; None where it is."""
        # Whether a lane was turned away that would go if it was asked again.
        self._denied = False
        self._watch = PageWatch(engine, clock, self)
        self._late = LateLooks()

    @property
    def pace(self) -> EnginePace:
        """What is to be held: an operator's word, else the configuration's."""
        return self._said or self._configured or USUAL

    @property
    def state(self) -> State:
        """What is known of the page."""
        return self._state

    @property
    def undecided(self) -> bool:
        """Whether it is not known yet if there is a page."""
        return self._state is State.LOOKING

    @property
    def paced(self) -> bool:
        """Whether the window counts, and not the number that is configured."""
        return self._state in (State.PACED, State.LOST)

    @property
    def window(self) -> int | None:
        """How many calls may be out; None where nothing limits them but the slots."""
        if not self.limits:
            return None
        pacer = self._by_answers or self._pacer
        return max(1, int(FIRST_WINDOW if pacer is None else pacer.window))

    # What lanes ask and tell

    def admits(self, in_flight: int, now: float) -> bool:
        """Whether one more may go while so many are out. Who is turned away is called again."""
        pacer = self._pacer
        if now - self._looked_at > STALE_SECONDS and self._awaits_look:
            admitted = False
        elif self._state is State.PACED and pacer is not None:
            if pacer.peers and self._seat is not None:
                pacer.peers.heard(self._seat.hear())
            wanted = pacer.wanted
            admitted = pacer.admits(in_flight, self._tokens, now) <= 0.0
            if pacer.wanted is not wanted and pacer.peers:
                self.say()
        else:
            # Nobody knows how the engine is: as many as before, and nothing that only a look could end.
            admitted = in_flight < (self.window or math.inf)
        if not admitted:
            self._denied = True
        return admitted

    @property
    def _awaits_look(self) -> bool:
        """Whether nothing goes before a look is over: others may have come since the last one. It takes some milliseconds, and
        two seconds at most; one that brings nothing is over, too.
        """
        if not self._watch.wanted or not (self._unlooked or (self._state is State.PACED and not self._failures)):
            return False
        if self._watch.asleep:
            self.stir()
        return True

    def sent(self, item: Item, now: float) -> Reading | None:
        """A request goes. What is returned is to be told when its prompt has been read, at the latest with its answer."""
        pacer = self._pacer
        if pacer is None:
            return None
        tokens = tokens_of(item)
        self._tokens += SMOOTH * (tokens - self._tokens) if self._tokens else tokens
        reading = Reading(pacer, tokens, now, readings=self._readings, over=self._read)
        if reading.sliced:
            self._ahead[item] = reading
        self._tell()
        return reading

    def _read(self) -> None:
        """The engine has read a prompt of ours."""
        self.moved()
        self._tell()

    def _tell(self) -> None:
        """Something has gone or is over: whoever shares the engine is to know at once. Who is new hears it at the next look."""
        if self._pacer is not None and self._pacer.peers:
            self.say()

    def say(self) -> None:
        """Lets other servers of ours know what is out here."""
        if self._seat is not None and self._pacer is not None:
            self._seat.say(self._pacer.word(self._engine.in_flight))

    @property
    def hears_answers(self) -> bool:
        """Whether it wants to know of each answer."""
        return self._state is State.ANSWERS

    def answered(self, begun: float, now: float, usage: Usage) -> None:
        """A request that was sent at `begun` has been answered."""
        pacer = self._by_answers
        if pacer is not None:
            prompt = usage.input_tokens - usage.cached_tokens
            pacer.answered(begun, now, prompt=prompt, output=usage.output_tokens, most=self._engine.slots)
            self.moved()

    def ahead(self, item: Item) -> Reading | None:
        """What is to be told of the slices of a request that has been sent; None where it goes whole. Asked once."""
        return self._ahead.pop(item, None) if self._ahead else None

    def ended(self, item: Item, reading: Reading) -> None:
        """Its call is over, or has never begun."""
        reading.over()
        self._tell()
        if self._ahead:
            self._ahead.pop(item, None)

    def listens(self, door: Door, request: Request) -> Canary | None:
        """Who is to hear this call (the Wants of `listening`): one at a time, while others are there."""
        pacer = self._pacer
        if pacer is None or self._canary is not None or self._state is not State.PACED:
            return None
        if pacer.target == FOREVER or (pacer.target is None and self._says_steps) or not may_be_streamed(request):
            return None
        self._canary = Canary(self._gap, self._unheard)
        return self._canary

    @property
    def _says_steps(self) -> bool:
        """Whether the page says how long steps are. Where it does not, a stream alone can."""
        seen = self._counters
        return seen is None or seen.steps is not None or seen.token_gaps is not None

    def _unheard(self) -> None:
        self._canary = None

    def _gap(self, seconds: float, tokens: int, now: float) -> None:
        if self._pacer is not None and self._state is State.PACED:
            self._pacer.gap(seconds, tokens, in_flight=self._engine.in_flight, now=now)
            self.moved()

    def moved(self) -> None:
        """There may be room where there was none: who was turned away is asked again."""
        if self._denied:
            self._denied = False
            self._engine.call_where_open(self._clock.monotonic())

    # What changes

    def attached(self, use: Use) -> None:
        """Somebody begins to send, which is not before the first look is over."""
        if self._state is State.ABSENT and self._pacer is None and use.metered:
            self._unlooked = True
            self._become(State.LOOKING)
            self.stir()

    def resized(self) -> None:
        """The engine has another number of slots."""
        if self._pacer is not None:
            self._pacer.most, self._pacer.most_of_all = self._engine.slots, self._engine.together

    def obey(self, said: EnginePace | None) -> None:
        """What an operator says of it, or says no more."""
        before, self._said = self.pace, said
        pace = self.pace
        if pace == before:
            return
        event("engine_pace", engine=self._engine.name, pace=str(pace))
        if pace.point is Point.FIXED:
            self._become(State.OFF)
        elif self._state is State.OFF:
            self._become(State.LOOKING if any(use.metered for use in self._engine.uses) else State.ABSENT)
        if self._pacer is not None and pace.point is not Point.FIXED:
            self._pacer.aim_for(pace.point, self._clock.monotonic(), slo=pace.slo)
        if self._state is State.ANSWERS and pace.point is Point.FULL:
            # There is nothing to hold.
            self._by_answers = None
            self._become(State.ABSENT)
        elif self._by_answers is not None and pace.point is not Point.FIXED:
            self._by_answers.aim_for(pace.point, slo=pace.slo)
        self.stir()
        self.moved()

    def look_again(self) -> None:
        """The engine listens again, perhaps another one than before."""
        if self._state in (State.ABSENT, State.ANSWERS) and any(use.metered for use in self._engine.uses):
            self._by_answers = None
            self._become(State.LOOKING)
        self.stir()

    def stir(self) -> None:
        """There may be something to look for."""
        self._watch.stir()

    @property
    def asleep(self) -> bool:
        """Whether whoever has work has to say so (`stir`)."""
        return self._watch.asleep

    async def watch(self) -> None:
        """Looks at the page while there is something to look for."""
        await self._watch.watch()

    def _become(self, state: State) -> None:
        if state is not self._state:
            self._state = state
            self.limits = state not in (State.ABSENT, State.OFF)
            self._engine.pacing_changed()
            self._denied = True
            self.moved()

    @property
    def _reads(self) -> bool:
        """Whether what was read is of now. Who has nothing to send does not look, and what was seen long ago says nothing."""
        return self._state is State.PACED and self._clock.monotonic() - self._looked_at <= STALE_SECONDS

    @property
    def frozen(self) -> str:
        """Why nothing new is sent, for people; empty where it is."""
        pacer = self._pacer
        if pacer is None or not pacer.stopped or not self._reads:
            return ""
        if not pacer.frozen:
            return TOO_SLOW
        return OTHERS_WAIT if pacer.others_wait else CACHE_FULL

    def view(self) -> PacingView:
        """How it is now."""
        pacer, seen, frozen = self._pacer, self._counters, self.frozen
        window = self.window
        view = PacingView(
            pace=self.pace,
            said=self._said is not None,
            configured=self._configured or USUAL,
            # Nobody looks for the page of an engine that cannot be reached.
            state=State.ABSENT if self.undecided and not self._engine.reach.listens else self._state,
            window=window,
            in_flight=self._engine.in_flight,
        )
        if pacer is None or seen is None or not self.paced:
            view = msgspec.structs.replace(view, why=self._why)
            if (answers := self._by_answers) is None:
                return view
            return msgspec.structs.replace(view, step=answers.step, target=answers.target)
        view = msgspec.structs.replace(
            view,
            window=min(window or 0, self._engine.slots),
            slower=pacer.aim.slower,
            slower_most=pacer.aim.slower_most,
        )
        if not self._reads:
            return view
        return msgspec.structs.replace(
            view,
            others=pacer.others,
            waiting=seen.waiting,
            step=pacer.step,
            felt=None if pacer.aim.alone is None else pacer.aim.felt,
            alone=pacer.aim.alone,
            target=None if pacer.target == FOREVER else pacer.target,
            slice=pacer.slice or None,
            frozen=frozen,
            frozen_since=self.frozen_since if frozen else None,
        )

    # What a look brings (the Told of `page_watch`)

    @property
    def off(self) -> bool:
        """Whether nobody wants to know now."""
        return self._state is State.OFF

    def looking(self) -> None:
        """A look begins: whoever shares the engine hears of it."""
        self.say()

    def broke(self) -> None:
        """An error of ours came of what the page said. What has been learned may be the cause, and is learned again."""
        self._pacer, self._unlooked = None, False
        self._state = State.OFF
        self._become(State.LOOKING)

    def found(self, found: Counters) -> None:
        """What the page says."""
        engine, now = self._engine, self._clock.monotonic()
        counters["engine_looks"] += 1
        pace, pacer = self.pace, self._pacer
        self._by_answers = None
        if pacer is None:
            pacer = self._pacer = Pacer(StepTarget(pace.point, pace.slo), slices=self._slices)
            event("engine_paced", engine=engine.name, pace=str(pace))
        elif self._state is State.LOST:
            event("engine_metrics_back", engine=engine.name)
        elif now - self._looked_at > STALE_SECONDS:
            # Nobody has looked, because there was nothing to send: what others did meanwhile is no step of ours.
            pacer.back(now)
            self._late.forget(pacer)
        self._failures, self._unlooked, self._looked_at, self._counters = 0, False, now, found
        self._become(State.PACED)
        pacer.most, pacer.most_of_all = engine.slots, engine.together
        self._looked(pacer, found, now)
        if len(pacer.peers) != self._peers:
            self._peers = len(pacer.peers)
            event("engine_peers", engine=engine.name, peers=self._peers)
        if not pacer.stopped:
            self.frozen_since = None
        elif self.frozen_since is None:
            self.frozen_since = now
        self.moved()

    def _looked(self, pacer: Pacer, found: Counters, now: float) -> None:
        """Tells the pacer, at once or when it is known what those had out whose words are late."""
        in_flight, seat, late = self._engine.in_flight, self._seat, self._late
        peers = NOBODY if seat is None else seat.hear()
        far = {} if seat is None else seat.far()
        if not far and not late.waits:
            pacer.looked(found, in_flight=in_flight, now=now, peers=peers)
            late.counted(pacer)
            return
        near = {name: word for name, word in peers.items() if name not in far}
        late.looked(pacer, found, in_flight=in_flight, now=now, at=self._clock.now(), near=near, far=far)

    def failed(self, why: str, *, reached: bool, lasting: bool) -> None:
        """It said nothing."""
        self._unlooked = False
        # How a connection failed has addresses in it, which are the log's.
        self._why = ("" if why == NO_PAGE else why) if reached else "it cannot be reached"
        if self._pacer is None or not self.paced:
            self._failures += 1
            if self.undecided and not lasting and self._failures < LOST_LOOKS:
                # A page that fails for a moment is none that is missing.
                self.moved()
                return
            self._without_page(why, lasting=lasting)
            return
        self._failures += 1
        self._pacer.blind(self._clock.monotonic())
        if self._failures == LOST_LOOKS and self._state is State.PACED:
            event("engine_metrics_lost", level=logging.WARNING, engine=self._engine.name, reason=why)
            self._become(State.LOST)

    def _without_page(self, why: str, *, lasting: bool) -> None:
        """There is nothing to look at. Who has named a pace wants it to be held all the same, and to know how."""
        named, pace = self._said or self._configured, self.pace
        if named is None or pace.point is Point.FULL:
            if self.undecided and not lasting:
                event("engine_metrics_unread", level=logging.WARNING, engine=self._engine.name, reason=why)
            self._by_answers = None
            self._become(State.ABSENT)
        elif self._state is not State.ANSWERS:
            self._by_answers = LatencyPacer(pace.point, pace.slo)
            self._become(State.ANSWERS)
            event(
                "engine_paced_by_answers",
                level=logging.WARNING,
                engine=self._engine.name,
                pace=str(pace),
                reason=why or "it has no metrics page",
            )


def tokens_of(item: Item) -> float:
    """About how many tokens the prompt of a line has: as validation has counted those of its shard, or a quarter of its bytes."""
    lease = item.lease
    if lease.shard.tokens and lease.size:
        return item.size * lease.shard.tokens / lease.size
    return item.size / BYTES_PER_TOKEN
