"""An engine: one upstream (scheme, host, port), shared by every deployment whose backends name it. It owns the slots.

A slot is a *lane*: a task that takes a request, sees it to the end of its call, and takes the next. Lanes pull: one that is
free asks the uses of the engine in turn which request goes next. A *use* is one backend of one deployment at work. Whether
somebody may go is decided by pure parts: Reach (does it listen), Door (may this credential and model go through).

Before: the worker, which fills the feeds. After: the dispatcher, which sends. What must hold: never more calls out than the
engine has slots, however many deployments there are; a lane never sleeps over work that it could do.
"""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from slackwater.core.accounts.usage import Usage
from slackwater.core.sending.door import Door
from slackwater.core.sending.evidence import SUCCESS, Evidence, Kind
from slackwater.core.sending.judgement import Trial
from slackwater.core.sending.pace import EnginePace
from slackwater.core.sending.pause import Pause
from slackwater.core.sending.reach import DEATH_SECONDS, Reach
from slackwater.core.sending.turns import Turns
from slackwater.pipeline.sending.door_speaker import DoorSpeaker
from slackwater.pipeline.sending.engine_looks import Looks
from slackwater.pipeline.sending.engine_pacing import Pacing
from slackwater.pipeline.sending.engine_share import EngineShare
from slackwater.pipeline.sending.engine_use import Use
from slackwater.pipeline.sending.lease import Item
from slackwater.pipeline.sending.listening import Wants
from slackwater.pipeline.sending.prompt_reading import Reading
from slackwater.pipeline.sending.quota_share import QuotaShare
from slackwater.pipeline.sending.sharing import Sharing
from slackwater.pipeline.sending.state_log import StateLog
from slackwater.ports import Clock, PeerSeat
from slackwater.telemetry import counters, event

# After a lane broke, another one looks after so long.
LANE_SECONDS = 1.0
# After a line that went alone has failed, so long is waited before the engine is asked whether it has died of it.
DYING_SECONDS = 1.0


class Engine:
    """One engine."""

    def __init__(
        self,
        name: str,
        clock: Clock,
        *,
        slots: int | None = None,
        pace: EnginePace | None = None,
        slices: bool = True,
        seat: PeerSeat | None = None,
        sharing: Sharing | None = None,
        shared_as: str = "",
    ) -> None:
        """`slots` is its limit; without one, the smallest that is said of it (`says`), else the largest that a use may have.
        `pace` is what is configured, `slices` whether long prompts may go in slices, `seat` where other servers of ours are
        heard. `sharing` divides the limit with the other members of a cluster, who call it `shared_as`; without it, all of it is
        this server's.
        """
        self.name = name
        self.shared_as = shared_as or name
        self.reach: Reach[Item] = Reach()
        self.uses: list[Use] = []
        self.limit = slots or 0
        """How many calls it takes, whoever sends them."""
        self._sharing = sharing
        self._share: EngineShare | None = None if sharing is None else sharing.share_of(self)
        self.slots = self.limit if sharing is None else 0
        """How many calls may be out from here."""
        # Nothing new is sent from then on. Only what is shared has an end.
        self._sends_until = math.inf if sharing is None else -math.inf
        self.cut_off: set[asyncio.Task[None]] = set()
        """Lanes whose call was ended because its slot is somebody else's."""
        self._slots = slots
        # What others say of its limit, and who; it counts where nobody is there who knows better.
        self._said: dict[object, int] = {}
        self._clock = clock
        self.doors: dict[tuple[str, str], Door] = {}
        self._lanes: set[asyncio.Task[None]] = set()
        self._idle: deque[asyncio.Future[None]] = deque()
        self.turns: Turns[Use] = Turns()
        """Whose turn it is among those who may have something to send."""
        self._watchers: list[asyncio.Task[None]] = []
        self.looks = Looks(self, clock)
        self.pacing = Pacing(self, clock, pace, slices=slices, seat=seat)
        # Whether lanes have to ask it.
        self._paced = False
        # Whether there has ever been a line that goes alone: it costs a look at every use.
        self._suspicious = False
        self._held: Pause | None = None
        # Nothing is known that a lane would have to look at.
        self._usual = True
        self.wants_stream: Wants | None = None
        """Asked of each call whether somebody wants to hear it as a stream; None: nobody ever does, and nothing is asked."""
        self.hears_answers: Callable[[float, float, Usage], None] | None = None
        """Told of each answer: when its request was sent, when it came, and how much it was."""
        self._alone: Item | None = None
        self._alone_since = 0.0
        self.others_until = 0.0
        self._log = StateLog(name)
        self._listened = True
        self._deaths_told = 0

    def door(self, credential: str, model: str, *, slots: int) -> Door:
        """The door of a credential and a model name; the same for everybody who asks with these."""
        door = self.doors.get((credential, model))
        if door is None:
            door = self.doors[credential, model] = Door(slots=slots)
            if self._sharing is not None:
                self._share_door(self._sharing, door, f"{self.shared_as} {credential} {model}")
        door.slots = max(door.slots, slots)
        return door

    @property
    def alone_since(self) -> float | None:
        """Since when one request has it to itself, because it has stopped before while that was out; None where none has."""
        return None if self._alone is None else self._alone_since

    @property
    def in_flight(self) -> int:
        """How many calls are out."""
        return sum(use.in_flight for use in self.uses)

    @property
    def held(self) -> Pause | None:
        """Why an operator has paused it."""
        return self._held

    @held.setter
    def held(self, pause: Pause | None) -> None:
        self._held = pause
        self._look_usual()

    def _look_usual(self) -> None:
        steady = self.reach.listens and len(self._lanes) <= self.slots
        calm = self._held is None and self._alone is None and not self._suspicious
        self._usual = steady and calm and not self._paced

    # What is said of it

    def says(self, who: object, number: int | None) -> None:
        """Somebody who has a backend here says how many requests it takes from everybody together; None: nothing any more.

        Whether or not it is sent to for that backend here and now.
        """
        before = self._said.pop(who, None)
        if number is not None:
            self._said[who] = number
        if number != before:
            self._count_slots()
            if self._share is not None:
                self._share.changed()
            self.call_where_open(self._clock.monotonic())

    @property
    def _number(self) -> int | None:
        """Its limit, where anybody names one."""
        return self._slots or min(self._said.values(), default=None)

    # Uses

    def attach(self, use: Use) -> None:
        """A backend of a deployment begins to work."""
        self.uses.append(use)
        use.seat = self.turns.seat(use, use.tenant, weight=use.weight)
        self.pacing.attached(use)
        self.pacing_changed()
        if not self._watchers:
            watches = (self.looks.watch(), self.pacing.watch())
            self._watchers = [asyncio.create_task(each, name=f"engine {self.name}") for each in watches]
        self.wake(use)

    async def detach(self, use: Use) -> None:
        """It has ended. The last one takes the lanes with it."""
        self.uses.remove(use)
        self._count_slots()
        if use.seat is not None:
            self.turns.rest(use.seat)
            use.seat = None
        if self.uses:
            return
        tasks = [*self._lanes, *self.looks.probes, *self._watchers]
        self._watchers = []
        # Whoever comes while these end has lanes of its own.
        self._lanes = set()
        self.cut_off.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _count_slots(self) -> None:
        self.limit = self._number or max((use.cap for use in self.uses), default=0)
        self.slots = self.limit if self._share is None else min(self.limit, self._share.slots)
        self.pacing.resized()
        self._look_usual()

    def pacing_changed(self) -> None:
        """Whether lanes have to ask has changed, or how many calls may be out."""
        self._paced, paced = self.pacing.limits, self.pacing.paced
        if paced:
            self.wants_stream = self.pacing.listens
        self.hears_answers = self.pacing.answered if self.pacing.hears_answers else None
        for use in self.uses:
            use.paced(paced=paced)
        self._count_slots()
        if self._share is not None:
            self._share.changed()

    def wake(self, use: Use) -> None:
        """There may be something to take from a use."""
        if use.seat is not None:
            self.turns.ready(use.seat)
        if self.pacing.asleep:
            self.pacing.stir()
        self._call_lane()

    def _call_lane(self) -> None:
        """Another lane is to look: an idle one, or a new one."""
        idle = self._idle
        while idle:
            waiter = idle.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        if len(self._lanes) < self.slots:
            lane = asyncio.create_task(self._lane(), name=f"lane of {self.name}")
            self._lanes.add(lane)
            lane.add_done_callback(self._lane_ended)
        else:
            self._miss_slots()

    def _miss_slots(self) -> None:
        """There may be something to send and no slot for it."""
        if self._share is not None:
            self._share.felt()

    # Lanes

    def _lane_ended(self, lane: "asyncio.Task[None]") -> None:
        """A lane ends when it is not needed. One that broke is a fault of ours: it is told, and another takes its place."""
        self._lanes.discard(lane)
        self._look_usual()
        if not lane.cancelled() and lane.exception() is not None:
            counters["lanes_broken"] += 1
            event("lane_broke", level=logging.ERROR, engine=self.name, error=repr(lane.exception()))
            asyncio.get_running_loop().call_later(LANE_SECONDS, self.look)

    async def _lane(self) -> None:
        lane = asyncio.current_task()
        assert lane is not None, "a lane runs as a task"
        while True:
            now = self._clock.monotonic()
            found = self._next(now)
            if found is None:
                if len(self._lanes) > self.slots:
                    return
                waiter = asyncio.get_running_loop().create_future()
                self._idle.append(waiter)
                await waiter
                continue
            use, item = found
            use.in_flight += 1
            reading, share = None, self._share
            try:
                if share is not None:
                    share.began(lane, now)
                reading = self._goes(item, now) if self._paced else None
                if (self._idle or len(self._lanes) < self.slots) and self.turns and self._paces(now):
                    # There may be more: each lane that finds something calls the next.
                    self._call_lane()
                await use.run(item, lane, now)
            finally:
                use.in_flight -= 1
                if share is not None:
                    share.ended(lane)
                if reading is not None:
                    self.pacing.ended(item, reading)
                if item is self._alone:
                    self._alone_ended(item)
            seat = use.seat
            if seat is not None and not seat.ready:
                self.turns.ready(seat)
            # A lane that waits must not keep a large body alive.
            del found, item

    def _next(self, now: float) -> tuple[Use, Item] | None:
        """The next request to go out, and whose it is."""
        if now >= self._sends_until:
            self._miss_slots()
            return None
        if not self._usual:
            if len(self._lanes) > self.slots and self.in_flight >= self.slots:
                self._miss_slots()
                return None
            if not self.reach.listens or self._held is not None or self._alone is not None:
                return None
            if now >= self.others_until:
                suspect = self._next_suspect(now)
                if suspect is not None or self._alone_since:
                    return suspect
            if not self._paces(now):
                return None
        turns = self.turns
        while (seat := turns.alone or turns.next()) is not None:
            use = seat.of
            door, item = use.door, None
            if use.in_flight < use.cap and door.admits(now):
                item = use.take(now) if door.quota is None else use.take_within(door.quota, now)
            if item is not None:
                if turns.alone is None:
                    # What it really costs is known when it is answered.
                    turns.took(seat, use.cost(item) if turns.shared else 0.0)
                if door.probe_lines:
                    door.probe_lines -= 1
                return use, item
            turns.rest(seat)
        # Where the others have nothing to send, suspects need not wait for the end of their turn.
        return self._next_suspect(now) if self._suspicious else None

    # An error of ours in pacing costs what it has learned, and neither a line nor a lane.

    def _goes(self, item: Item, now: float) -> Reading | None:
        try:
            return self.pacing.sent(item, now)
        except Exception as error:
            self._unpaced(error)
            return None

    def _unpaced(self, error: Exception) -> None:
        event("engine_unpaced", level=logging.ERROR, engine=self.name, error=repr(error))
        self.pacing.broke()

    def _paces(self, now: float) -> bool:
        """Whether the engine is to have one more."""
        if not self._paced:
            return True
        try:
            return self.pacing.admits(self.in_flight, now)
        except Exception as error:
            self._unpaced(error)
            return False

    # What is shared with others

    def _share_door(self, sharing: Sharing, door: Door, name: str) -> None:
        """What is found out of a door the others are told, and its rate limits are divided."""
        words, quota = sharing.words, QuotaShare(door, name, self._clock, changed=self.look)
        words.add(DoorSpeaker(self, door, name, member=words.member))
        words.add(quota)
        sharing.add(quota)

    @property
    def appetite(self) -> int:
        """How many calls could be out here, if there were slots; 0 while nothing waits to be sent."""
        if self._held is not None or not any(use.has_work for use in self.uses):
            return 0
        most = min(self.limit, sum(use.cap for use in self.uses))
        window = self.pacing.window
        # It may have grown before slots are asked for again.
        return most if window is None else min(most, 2 * window)

    @property
    def limit_of_all(self) -> int:
        """How many calls it takes, from all members. Whoever still looks for its page must not keep the others to less."""
        if self._number or not self.pacing.undecided:
            return self.limit
        return max((use.most for use in self.uses), default=self.limit)

    @property
    def together(self) -> int | None:
        """How many calls may be out from all members; None where it is not shared."""
        return None if self._share is None else self.limit_of_all

    def shared(self, slots: int, sends_until: float) -> None:
        """So many calls may be out here, and new ones until a moment."""
        self._sends_until = sends_until
        more = min(self.limit, slots) > self.slots
        self.slots = min(self.limit, slots)
        self.pacing.resized()
        self._look_usual()
        if more or self._idle:
            self.call_where_open(self._clock.monotonic())

    def cut(self, lane: "asyncio.Task[None]") -> None:
        """Ends a call at once; its line waits for another try, and nobody holds it against it."""
        if lane not in self.cut_off:
            self.cut_off.add(lane)
            lane.cancel()

    # Suspects of two deaths go alone

    def _next_suspect(self, now: float) -> tuple[Use, Item] | None:
        """Once nobody is out any more, the next suspect. `_alone_since` is set while one waits for that."""
        self._alone_since = 0.0
        for use in self.uses:
            if not use.has_suspects or not use.door.admits(now):
                continue
            self._alone_since = now
            if self._share is not None and not self._share.alone:
                # Nor may another member have anything out: it would be a suspect, too.
                self._share.want_alone()
                return None
            if self.in_flight or self._unsettled(use.door, now):
                return None
            item = use.take_suspect()
            if item is None:
                continue
            self.reach.forget_all()
            self._alone = item
            self._look_usual()
            if item.trial is not None:
                item.trial.alone = True
            return use, item
        self._alone_since = 0.0
        if self._share is not None:
            self._share.together()
        return None

    def _unsettled(self, door: Door, now: float) -> bool:
        """Whether calls broke off of which the engine may have died: that is known before the next one goes alone."""
        if not self.reach.broken or door.mute:
            return False
        if door.open:
            door.question("calls have broken off before a request that is to go alone", now)
            self.looks.changed.set()
        elif door.looked_at_since(self.reach.broke_at):
            return False
        elif door.look_now(now):
            self.looks.changed.set()
        return True

    def _alone_ended(self, item: Item) -> None:
        """A suspect has come back. If it did not succeed, the engine is given time to be seen dead before anybody is sent."""
        now = self._clock.monotonic()
        trial = item.trial
        if trial is not None and trial.unjudged and trial.door is not None:
            trial.door.question("a request that was suspected of stopping the engine has failed", now)
            asyncio.get_running_loop().call_later(DYING_SECONDS, self._alone_over, item)
            return
        self._alone_over(item)

    def _alone_over(self, item: Item) -> None:
        if self._alone is not item:
            return
        now = self._clock.monotonic()
        self._alone = None
        if self._share is not None:
            self._share.together()
        self._look_usual()
        # Half of the time is the others'.
        self.others_until = now + max(0.0, now - self._alone_since)
        self._alone_since = 0.0
        self.look()

    # What is heard

    def heard(self, item: Item, door: Door, evidence: Evidence, *, begun: float, now: float) -> None:
        """A line's call has ended: what it says goes to whom it concerns."""
        reach = self.reach
        if evidence is SUCCESS and door.open and reach.well:
            # Nearly every call, which is no news to anybody.
            door.came_through(now)
            return
        suspects = reach.heard(item, evidence, begun=begun, now=now)
        if evidence.kind is Kind.LOST and not suspects and door.left_alone(now) > DEATH_SECONDS:
            # Should the engine have died of it, it will be back before anybody may look.
            suspects = [item]
            reach.forget(suspects)
        door.heard(evidence, begun=begun, now=now)
        # Of who breaks off when nobody listens any more, it is known before its call is over.
        self.reached(suspects, now, ending=evidence.kind is not Kind.UNREACHED)
        self.tell(door)
        self.look()

    def reached(self, suspects: Sequence[Item], now: float, *, ending: bool = False) -> None:
        """Whether the engine listens may have changed."""
        self._suspect(suspects, ending=ending)
        self._look_usual()
        if self.reach.listens is self._listened:
            return
        self._listened = self.reach.listens
        self._log.listens(self._listened, reason=self.reach.reason)
        if self._listened:
            self.pacing.look_again()
            return
        for door in self.doors.values():
            # Behind a port that is open again there may be nothing yet: each is asked before lines go.
            door.question(self.reach.reason, now)

    def _suspect(self, suspects: Sequence[Item], *, ending: bool) -> None:
        """These were out when the engine died; `ending`: they are not back yet."""
        for item in suspects:
            item.trial = item.trial or Trial()
            item.trial.suspected(sole=len(suspects) == 1 and item.trial.alone, ending=ending)
            self._suspicious = self._suspicious or item.trial.goes_alone
            if item.trial.culprit:
                shard = item.lease.shard
                event("engine_killed", level=logging.ERROR, engine=self.name, batch=shard.batch_id, shard=shard.index)
        if self.reach.deaths != self._deaths_told:
            self._deaths_told = self.reach.deaths
            # That it is silent is the warning; this is what is known of why.
            event("engine_died", engine=self.name, deaths=self.reach.deaths)

    def tell(self, door: Door) -> None:
        """Tells people how a door is, where that has changed."""
        self._log.door(
            door,
            lambda: sorted({use.name for use in self.uses if use.door is door}),
            now=self._clock.monotonic(),
        )

    # Looking at what is shut

    def look(self) -> None:
        """Something has changed: the watcher looks at once, and lanes may have something to do."""
        self.looks.changed.set()
        self.call_where_open(self._clock.monotonic())

    def call_where_open(self, now: float) -> None:
        """Lets a lane look where there is work and a way to send it; each that finds something calls the next."""
        if not self.reach.listens:
            return
        for use in self.uses:
            seat = use.seat
            if seat is not None and not seat.ready and use.has_work and use.door.admits(now):
                self.turns.ready(seat)
        if self.turns:
            self._call_lane()
        if self.pacing.asleep:
            self.pacing.stir()

    def hold(self, pause: Pause | None) -> None:
        """An operator has paused it, or ended that. What is out ends by itself."""
        changed = (self.held is None) is not (pause is None)
        self.held = pause
        if changed:
            self.look()

    def try_now(self, doors: Iterable[Door]) -> None:
        """Whatever these doors, or the engine, wait for: it is looked at at once, also where nothing is to be sent."""
        now = self._clock.monotonic()
        self.reach.try_now(now)
        for door in doors:
            door.try_now(now)
            self.looks.ask((door,))
        self.look()
