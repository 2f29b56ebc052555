"""What must hold of the calls: how often, when, how many at once, and that no answer is asked for twice.

Calls are told by the world's backends, before and after they are out. A violation is noted, because an exception here would
only be one more failed call to the service.
"""

from collections import Counter
from typing import TYPE_CHECKING

from slackwater.core.errors import BackendError
from slackwater.core.sending.evidence import BLOCKED_SECONDS
from slackwater.core.sending.request import Reply
from tests.simulation.content import ANSWERED, Content
from tests.simulation.engines import WorldEngine, has_slots
from tests.simulation.plan import Mood

if TYPE_CHECKING:
    from tests.simulation.lives import Incarnation
    from tests.simulation.world import World

# What a line may cost beyond its attempts for each thing that befell an engine: it may be out at both of its edges.
CALLS_PER_TROUBLE = 2
# Whatever befalls nobody: a call that settles something.
CALLS_SPARE = 2
UNREADABLE_CALLS = 2
# A line that is told "busy" for ten minutes, with waits of 15 to 30 seconds in the end.
BUSY_CALLS = 50
DEATHS_MAX = 3
UNSEEN_MAX = 3
# A heartbeat, and what lies before and behind it.
NOTICED_SECONDS = 3.0
# Everything that lies in memory: a few shards, bodies, answers of some hundred bytes.
BUDGET_BYTES = 1 << 20
# A step that is under way at a stop has to come to its end, too.
STOP_SECONDS = 15.0


class Call:
    """A line's call that is out."""

    __slots__ = ("batch", "begun", "by_content", "engine", "epoch", "life", "model", "text")

    def __init__(self, life: "Incarnation", engine: WorldEngine, model: str, text: str, epoch: int, now: float) -> None:
        self.life = life
        self.engine = engine
        self.model = model
        self.text = text
        self.epoch = epoch
        self.begun = now
        self.batch = text.partition("/")[0]
        self.by_content = False
        """Whether an engine that was well has looked at it."""


class Stop:
    """A gentle stop of one life."""

    def __init__(self, life: "Incarnation", now: float, refused: int) -> None:
        self.life = life
        self.begun = now
        self.refused = refused
        """How often the disk had had no room by then."""


class SendingChecks:
    """Watches the calls of every life."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._out: Counter[tuple[int, str]] = Counter()
        self._calls: Counter[tuple[str, int]] = Counter()
        self._deaths: Counter[tuple[str, int]] = Counter()
        # Who was told to leave a door alone, and until when.
        self._waits: dict[tuple[int, str, str, str], float] = {}
        # Answers that came, by life: when, under which epoch.
        self._answers: dict[int, dict[tuple[str, int], float]] = {}
        self._final: set[tuple[str, int]] = set()
        self._released: set[tuple[str, int, int]] = set()
        self._lost: set[tuple[str, int, int]] = set()
        # The newest epoch of each shard, and since when.
        self._claims: dict[tuple[str, int], tuple[int, float]] = {}
        # Doors through which a life has had an answer, and what else came before its first one, by line.
        self._readable: set[tuple[int, str, str]] = set()
        self._never_readable: Counter[str] = Counter()
        self.probes = 0
        self.stops = 0

    def _now(self) -> float:
        return self._world.loop.time()

    def _note(self, what: str) -> None:
        self._world.checks.note(f"{what} (at {self._now():.2f})")

    # Calls

    def probed(self, life: "Incarnation", engine: WorldEngine, model: str) -> None:
        """A request of our own begins."""
        self.probes += 1

    def begun(self, life: "Incarnation", engine: WorldEngine, model: str, text: str, epoch: int) -> Call:
        """A line's call begins."""
        now, place = self._now(), (life.number, engine.name)
        call = Call(life, engine, model, text, epoch, now)
        self._out[place] += 1
        limit = has_slots(self._world, engine)
        if self._out[place] > limit:
            self._note(f"{self._out[place]} calls are out at {engine.name}, its limit is {limit}")
        if now < (until := self._waits.get((*place, model, call.batch), 0.0)):
            self._note(f"{text} went to {engine.name} {model}, which {call.batch} was to leave alone until {until:.2f}")
        if self._knows_of_its_loss(call):
            self._note(f"{text} was sent under epoch {epoch}, and its shard was lost long ago")
        if (text, epoch) in self._final:
            self._note(f"{text} has been answered and was sent again under the same epoch, {epoch}")
        return call

    def _knows_of_its_loss(self, call: Call) -> bool:
        """Whether somebody has had the shard of a line for so long that who had it before must have noticed."""
        batch, index, _ = self._world.checks.place_of(call.text)
        epoch, since = self._claims.get((batch, index), (call.epoch, 0.0))
        noticed = NOTICED_SECONDS + 2 * self._world.plan.nap_seconds
        return epoch > call.epoch and self._now() - max(since, call.life.frozen_until) > noticed

    def shard_was_claimed(self, batch: str, index: int, epoch: int) -> None:
        """Somebody has it from now on."""
        self._claims[batch, index] = (epoch, self._now())

    def over(self, call: Call) -> None:
        """It is out no more, whatever came of it."""
        self._out[call.life.number, call.engine.name] -= 1
        if call.by_content:
            key = (call.text, call.epoch)
            self._calls[key] += 1
            most = self._most(call)
            if self._calls[key] > most:
                self._note(f"{call.text} ({self._world.lines[call.text]}) cost {self._calls[key]} calls of {most}")

    def _most(self, call: Call) -> int:
        world = self._world
        content = world.lines[call.text]
        troubles = sum(engine.troubles + engine.deaths for engine in world.engines)
        spare = CALLS_SPARE + CALLS_PER_TROUBLE * troubles + world.mishaps[call.text]
        if content in (Content.BUSY, Content.SPENT):
            return BUSY_CALLS + spare
        if content is Content.UNREADABLE:
            return UNREADABLE_CALLS + spare
        return world.plan.attempts_max + spare

    def was_never_readable(self, text: str) -> bool:
        """Whether a line was sent twice and more through doors of which a life had had no readable answer yet."""
        return self._never_readable[text] >= UNREADABLE_CALLS

    def killed(self, call: Call) -> None:
        """An engine died of a line."""
        key = (call.text, call.epoch)
        self._deaths[key] += 1
        # Where a service stands still, an engine may be back before anybody has seen that it was away.
        unseen = UNSEEN_MAX if {Mood.FREEZES, Mood.FULL_DISK} & self._world.plan.moods else 0
        if self._deaths[key] > DEATHS_MAX + unseen:
            self._note(f"{call.engine.name} died of {call.text} {self._deaths[key]} times")

    def broke(self, call: Call, error: BackendError) -> None:
        """A call brought no answer."""

    def answered(self, call: Call, reply: Reply) -> None:
        """A call brought an answer, of any kind; the service has it from this moment on."""
        door = (call.life.number, call.engine.name, call.model)
        if reply.status == 200 and reply.body.startswith(b"{"):
            self._readable.add(door)
        elif reply.status == 200 and door not in self._readable:
            self._never_readable[call.text] += 1
        # Who asks for hours has said that the account may not go on, and is looked at now and then.
        if reply.retry_after and reply.retry_after < BLOCKED_SECONDS:
            key = (call.life.number, call.engine.name, call.model, call.batch)
            self._waits[key] = max(self._waits.get(key, 0.0), self._now() + reply.retry_after - 1e-6)
        if not call.by_content:
            return
        content = self._world.lines[call.text]
        if (reply.status == 200 and content in ANSWERED) or reply.status == 400:
            self._final.add((call.text, call.epoch))
            self._answers.setdefault(call.life.number, {})[call.text, call.epoch] = self._now()

    # Stops

    def shard_was_released(self, batch: str, index: int, epoch: int) -> None:
        """Somebody gave a shard back under its newest epoch."""
        self._released.add((batch, index, epoch))

    def lease_was_lost(self, batch: str, index: int, epoch: int) -> None:
        """The ledger took no results of this epoch: its lease had ended, although nobody may have claimed the shard since."""
        self._lost.add((batch, index, epoch))

    def stop_begins(self, life: "Incarnation") -> Stop:
        """A life begins to stop gently."""
        return Stop(life, self._now(), self._world.disk.refused)

    def stop_ended(self, stop: Stop) -> None:
        """It has ended: what was answered in time is journaled, and nothing of it is left."""
        world, life = self._world, stop.life
        self.stops += 1
        took, grace = self._now() - stop.begun, world.plan.grace_seconds
        if life.frozen_until > stop.begun or world.disk.refused > stop.refused or world.disk.full:
            return
        if took > grace + STOP_SECONDS:
            self._note(f"a stop took {took:.1f} s")
        for (text, epoch), at in self._answers.get(life.number, {}).items():
            if at > stop.begun + grace - 1.0 or world.checks.journaled(text):
                continue
            batch, index, newest = world.checks.place_of(text)
            held = newest == epoch and (batch, index, epoch) not in self._lost
            if held or (batch, index, epoch) in self._released:
                self._note(f"{text} was answered at {at:.2f} and is lost by a gentle stop begun at {stop.begun:.2f}")
        if self._out_of(life):
            self._note("calls are out after a stop")
        if life.budget.held:
            self._note(f"{life.budget.held} bytes are counted after a gentle stop")

    def _out_of(self, life: "Incarnation") -> int:
        return sum(out for (number, _), out in self._out.items() if number == life.number)

    def _others_had_room(self) -> None:
        """Rate limits that online traffic shares were used, and left it its room."""
        for engine in self._world.engines:
            for model, door in engine.doors.items():
                quota = door.quota
                if quota is not None and not quota.bounded:
                    self._note(
                        f"{quota.refused} of {quota.offered} online requests were refused at {engine.name} {model}"
                    )

    def at_rest(self) -> None:
        """Nobody ever had too much in memory, and others had their room."""
        self._others_had_room()
        for life in self._world.lives:
            if life.budget.most > BUDGET_BYTES:
                self._note(f"{life.owner} had {life.budget.most} bytes in memory")
