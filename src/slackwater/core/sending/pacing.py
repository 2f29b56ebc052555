"""How many requests an engine is given that others use too: so many that their tokens come hardly later.

What is held is the time of a step, because everybody's next token waits for it. How long it may be, `step_target` says. Below
that the window grows, above it is cut. Where others wait for capacity, nothing new is sent at all. With nobody
else there, every point is as fast as the engine goes.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from msgspec import Struct

from slackwater.core.sending.cache_reserve import CacheReserve
from slackwater.core.sending.cache_share import CacheShare
from slackwater.core.sending.engine_counters import Between, Counters, between, restarted
from slackwater.core.sending.peers import Peers, Word
from slackwater.core.sending.slicing import CacheEffect, slice_of
from slackwater.core.sending.slots import Slots
from slackwater.core.sending.step_model import StepModel
from slackwater.core.sending.step_target import Point, StepTarget

FOREVER = math.inf
FIRST_WINDOW = 4.0
# Others are there for so long after the last of them was seen.
OTHERS_SECONDS = 5.0
# A cut is by half of what the step is too long, and within these. The window grows by so much, and by a half at least.
CUT_MIN, CUT_MAX, GROW, GROW_MIN = 0.8, 0.99, 0.08, 0.5
# While it has never been too much, the window doubles below this share of the target.
CLIMB_BELOW = 0.7
# How many of our prompts the engine may be reading, at first and at least and at most, and how many tokens that is for each.
PROMPTS_FIRST, PROMPTS_MIN, PROMPTS_MAX, PROMPTS_STEP, PROMPT_TOKENS = 2.0, 1.0, 8.0, 0.25, 768
# So many of ours may wait at the engine: one has ended before the next is there.
QUEUED = 2.0
# What a token of a prompt costs, until it is known.
TOKEN_SECONDS = 70e-6
# A look counts so much against those before it.
SMOOTH = 0.5
# A stream is listened to for so long, and so many of its tokens, before what they say is believed.
LISTEN_SECONDS, LISTEN_TOKENS = 0.2, 8
# Without a stream for so long, what the counters say moves the window.
DEAF_SECONDS = 1.0
SLICE_FIRST, SLICE_MIN, SLICE_MAX = 256, 128, 1024
# After an engine has started again, what peers say of its window is of the one before.
RESTART_SECONDS = 2.0
NOBODY: Mapping[str, Word] = MappingProxyType({})
# Where others are slower than usual for long, one request goes all the same after so long: who sends nothing learns nothing.
HOLD_SECONDS = 30.0
# While others wait, the window is cut to this at each look but the first.
WAIT_CUT = 0.85


class Counted(Struct, frozen=True):
    """What a pacer has been told of what was sent, in all."""

    sends: int = 0
    tokens: float = 0.0
    """Of prompts."""
    sent: float = 0.0
    looked_up: float = 0.0
    found: float = 0.0


@dataclass(slots=True)
class Pacer:
    """The window of one engine. It is told what happens, and asked before each request.

    Moments are seconds of one clock that never goes back; times are seconds, prompts are in tokens.
    """

    aim: StepTarget = field(default_factory=StepTarget)
    """How long a step may be while others are there, by the operating point."""
    most: int = 256
    """The most requests that may be out of this server, whatever is found."""
    most_of_all: int | None = None
    """The same of all servers, where they have a limit together; None where each has its own."""
    slots: Slots = field(default_factory=Slots)
    """How many requests the engine runs at once."""
    slices: bool = False
    """Whether long prompts may go in slices, where the engine says that it keeps prefixes in a cache."""
    block: int = 16
    """Its cache keeps so many tokens together."""
    slice: int = 0
    """Longer prompts go in slices of so many tokens, whole blocks of the cache; 0 where they go whole."""
    effect: CacheEffect = field(default_factory=CacheEffect)
    window: float = FIRST_WINDOW
    prompts: float = PROMPTS_FIRST
    """How many of our prompts the engine may be reading."""
    reading: int = 0
    """How many it is reading."""
    step: float | None = None
    """The time of a step now, smoothed."""
    target: float | None = None
    """FOREVER: nobody else is there. None: not enough is known."""
    frozen: bool = False
    """Whether nothing new is sent because others wait, or the cache is nearly full."""
    wanted: bool = False
    """Whether the last who asked was turned away because as many are out as may be."""
    others: float = 0.0
    """How many requests of others were there at the last look."""
    others_wait: bool = False
    """Whether any of them waited for capacity."""
    model: StepModel = field(default_factory=StepModel)
    cache: CacheShare = field(default_factory=CacheShare)
    reserve: CacheReserve = field(default_factory=CacheReserve)
    peers: Peers = field(default_factory=Peers)
    """Other servers of ours. The window is that of all of us, and what they have out is ours."""
    _last: Counters | None = None
    # The last that were read, whatever was lost since.
    _known: Counters | None = None
    _looked_at: float = 0.0
    _others_at: float = -FOREVER
    _climbing: bool = True
    _filling: bool = False
    _slots_left: float = FOREVER
    _kv_sent: float = 0.0
    _sent_at: float = -FOREVER
    _sent_tokens: float = 0.0
    _own_looked_up: float = 0.0
    _own_found: float = 0.0
    _sliced: bool = True
    _out: float = 0.0
    _seconds: float = 0.0
    _restarted_at: float = -FOREVER
    # Whether the last page said that the engine has started again, as one that is damaged may.
    _doubted: bool = False
    _sends: int = 0
    _tokens_in_all: float = 0.0
    _known_at: float = 0.0
    # Whether nobody has looked for a while.
    _away: bool = False
    _sent_in_all: float = 0.0
    _looked_up_in_all: float = 0.0
    _found_in_all: float = 0.0
    _reading_tokens: float = 0.0
    _gap_seconds: float = 0.0
    _gap_tokens: int = 0
    _listened_at: float = 0.0
    _heard_at: float = -FOREVER

    def aim_for(self, point: Point, now: float, *, slo: float | None = None) -> None:
        """Another operating point from now on. What is known of the engine stays."""
        self.aim.aim_for(point, slo)
        # The next look may be far away, and the target of another point is none.
        self._retarget(0.0, now)

    # Before a request

    def admits(self, in_flight: int, tokens: float, now: float) -> float:
        """Whether a request with a prompt of so many tokens may go: 0.0, or FOREVER for not before something else happens."""
        self.wanted = in_flight >= self._may_be_out()
        if self.wanted or self._away:
            # A look that waits for what peers on other hosts had out has not been seen yet.
            return FOREVER
        if self.frozen or self._slots_left < 1.0:
            return FOREVER
        if self.window < 2.0 and now - self._sent_at < HOLD_SECONDS and self._too_slow:
            # Even one is too much now.
            return FOREVER
        if self._kv_sent and self._kv_sent + tokens > self._kv_room():
            return FOREVER
        if in_flight and self.cache.matters and tokens > self._cache_room(now):
            return FOREVER
        reading, reading_tokens = self.peers.reading
        reading, reading_tokens = reading + self.reading, reading_tokens + self._reading_tokens
        if reading:
            chunk = self.chunk(tokens)
            # With nobody else there only their tokens count: many short ones are what fills the engine.
            many = self.target != FOREVER and reading >= int(self.prompts)
            if many or reading_tokens + chunk > PROMPT_TOKENS * self.prompts:
                return FOREVER
        return 0.0

    @property
    def stopped(self) -> bool:
        """Whether nothing new is sent: it is frozen, or even one request is too much."""
        return self.frozen or (self.window < 2.0 and self._too_slow)

    @property
    def _too_slow(self) -> bool:
        return self.step is not None and self.target is not None and self.step > self.target

    def _may_be_out(self) -> int:
        """How many requests may be out, of this server alone."""
        window = min(FIRST_WINDOW, self.window) if self._doubted else self.window
        if self.peers:
            # Whoever has more than its share keeps what is out, and the others wait until that has come back.
            window = min(math.ceil(self.peers.share(window)), max(1.0, window - self.peers.out))
        return min(self.most, int(window))

    def word(self, in_flight: int) -> Word:
        """What other servers of ours are to know."""
        counts = self._sent_in_all, self._looked_up_in_all, self._found_in_all
        reading = self.reading, max(0.0, self._reading_tokens)
        return Word(in_flight, self.window, self._seconds, self.wanted, *reading, *counts)

    def chunk(self, tokens: float) -> float:
        """How much of a prompt of so many tokens goes at once."""
        return tokens if not self.slice else slice_of(tokens, self.slice) or tokens

    def _size(self) -> int:
        if not self.slices or not self._sliced or self.target == FOREVER:
            return 0
        if self.target is None:
            # What a step may take is not known yet, and others are there.
            return max(1, SLICE_FIRST // self.block) * self.block if self.others > 0.5 else 0
        size = self.target / 2 / (self.model.token or TOKEN_SECONDS)
        return max(1, int(max(SLICE_MIN, min(SLICE_MAX, size))) // self.block) * self.block

    # What happens

    def sent(self, tokens: float, now: float) -> float:
        """A request with so many tokens in its prompt has gone. Returns what `read` is to be told."""
        self._sent_at = now
        self._slots_left -= 1.0
        self._kv_sent += tokens
        self._sends += 1
        self._tokens_in_all += tokens
        self.cache.wrote(tokens, now)
        self.reading += 1
        chunk = self.chunk(tokens)
        self._reading_tokens += chunk
        if chunk == tokens:
            # Of one in slices each is counted as it goes.
            self._goes(tokens)
            self._own_looked_up += tokens
            self._looked_up_in_all += tokens
        return chunk

    def found(self, tokens: float, found: float) -> None:
        """A slice with so many tokens has gone, or all of a prompt after its slices; so many of them are in the cache from us.

        Also for what an answer says was found of a prompt that went whole, with no tokens: those are counted already.
        """
        self._goes(max(0.0, tokens - found))
        self._own_looked_up += tokens
        self._own_found += found
        self._looked_up_in_all += tokens
        self._found_in_all += found

    def _goes(self, tokens: float) -> None:
        """The engine reads so much more for us."""
        self._sent_tokens += tokens
        self._sent_in_all += tokens

    def grown(self, tokens: float) -> None:
        """A prompt that was to go in slices goes whole: so many tokens more are read at once."""
        self._reading_tokens += tokens

    def read(self, chunk: float) -> None:
        """The engine has read a prompt: the first token of its answer has come, or all of it. Once for each `sent`."""
        self.reading -= 1
        self._reading_tokens -= chunk

    def reading_seconds(self, chunk: float) -> float:
        """How long the engine probably takes to read so much of a prompt, where nobody says when it has."""
        return 2.0 * (self.step or 0.0) + 1.5 * chunk * (self.model.token or TOKEN_SECONDS)

    def gap(self, seconds: float, tokens: int, *, in_flight: int, now: float) -> None:
        """The next chunk of one of our streams, so long after the one before it and with so many tokens.

        Their mean is the step. Whoever is short of a processor sends chunks in bunches, which moves a median and not a mean.
        """
        self._gap_seconds += seconds
        self._gap_tokens += tokens
        if now - self._listened_at < LISTEN_SECONDS or self._gap_tokens < LISTEN_TOKENS:
            return
        step = self._gap_seconds / self._gap_tokens
        self._listened_at = self._heard_at = now
        self._gap_seconds, self._gap_tokens = 0.0, 0
        self._steps_last(step)
        self._move(float(in_flight + self.peers.out))

    def looked(self, counters: Counters, *, in_flight: int, now: float, peers: Mapping[str, Word] = NOBODY) -> None:
        """The engine's counters, as they were at `now`, how many requests of ours were out, and what our peers say."""
        last, self._last = self._last, counters
        seconds, self._looked_at = now - self._looked_at, now
        self._hear_peers(peers, now)
        ours = in_flight + self.peers.out
        self._out, before = float(ours), self._out
        self.others = max(0.0, counters.running + counters.waiting - ours)
        away, self._away = self._away, False
        if self.others > 0.5:
            self._others_at = now
            if self.target == FOREVER and self.aim.point is not Point.FULL:
                self._retarget(0.0, now)
                if away:
                    # The window is of a time in which nobody else was there.
                    self.window, self.prompts, self._climbing = min(FIRST_WINDOW, self.window), PROMPTS_FIRST, True
        self._sliced = counters.keeps_prefixes and not self.effect.none(now)
        self.block = counters.block_tokens or self.block
        self.slice = self._size()
        used = counters.running + counters.waiting
        self._slots_left = self.slots.free(used, shared=self._shared(now)) / self._servers
        self._kv_sent = 0.0
        # Ours that are not read yet are likely to be among those that wait.
        waited, waiting = self.others_wait, counters.waiting - self._being_read
        self.others_wait = waiting > 1.0 and self.others > 1.0
        if self.others_wait and waited:
            # It lasts: fewer than now are to be there when it is over.
            self.window = max(1.0, WAIT_CUT * min(self.window, float(ours)))
        self.reserve.seen(counters.kv, ours=ours > 0, shared=self._shared(now), now=now)
        self.frozen = self.others_wait or (counters.kv or 0.0) > 1.0 - self.reserve.left
        # What waits only to be read is no sign of an engine that is full: a step reads so many tokens.
        self._filling = last is not None and counters.running > last.running
        if self._known is not None and restarted(self._known, counters, now - self._known_at):
            if not self._doubted:
                # One page may be damaged. If it is not, the next one says the same; until then this one says nothing of what was.
                self._doubted, self._last, self._looked_at = True, last, now - seconds
                return
            self._begin_anew(now)
            self._doubted, self._known, self._known_at = False, counters, now
            return
        self._doubted, self._known, self._known_at = False, counters, now
        if last is None or seconds <= 0.0:
            return
        self._seconds += seconds
        passed = between(last, counters, seconds)
        self.effect.seen(self._own_found, passed.found, now)
        prompts = (self.model.token or TOKEN_SECONDS) * passed.prefilled / seconds
        self.slots.seen(counters.running, waiting, kv=counters.kv or 0.0, prompts=prompts, now=now)
        looked_up, found = passed.looked_up - self._own_looked_up, passed.found - self._own_found
        self._own_looked_up = self._own_found = 0.0
        self.cache.seen(looked_up, found, seconds=seconds, now=now)
        self._hear(passed, last, counters, (before + ours) / 2, now)

    @property
    def counted(self) -> Counted:
        """What has been sent in all."""
        sent = self._sent_in_all, self._looked_up_in_all, self._found_in_all
        return Counted(self._sends, self._tokens_in_all, *sent)

    def looked_then(
        self,
        counters: Counters,
        *,
        in_flight: int,
        now: float,
        peers: Mapping[str, Word],
        before: Counted,
        then: Counted,
    ) -> None:
        """The same of a moment that is over: `before` is what had been sent at the look before, and `then` at this one."""
        self._sent_tokens = then.sent - before.sent
        self._own_looked_up, self._own_found = then.looked_up - before.looked_up, then.found - before.found
        self.looked(counters, in_flight=in_flight, now=now, peers=peers)
        # What has gone since is there by now.
        self._slots_left -= self._sends - then.sends
        self._kv_sent += self._tokens_in_all - then.tokens

    def _begin_anew(self, now: float) -> None:
        """It has started again, perhaps as another engine: nothing that was learned of the one before holds."""
        self.window, self._climbing, self.step = FIRST_WINDOW, True, None
        self.model, self.reserve, self.cache, self.effect = StepModel(), CacheReserve(), CacheShare(), CacheEffect()
        self.aim.forget()
        self._restarted_at = now
        self.slots.forget()
        self._retarget(0.0, now)

    def _hear_peers(self, peers: Mapping[str, Word], now: float) -> None:
        self.peers.heard(peers)
        if not peers:
            return
        sent, looked_up, found = self.peers.counted()
        self._sent_tokens += sent
        self._own_looked_up += looked_up
        self._own_found += found
        self.cache.wrote(sent, now)
        if now - self._restarted_at > RESTART_SECONDS:
            self.window = self.peers.agreed(self.window, self._seconds)

    def back(self, now: float) -> None:
        """Nobody has looked for a while, because there was nothing to send: others may have come, and gone, since then."""
        before = self.window
        self.blind(now)
        self.window = max(self.window, min(before, FIRST_WINDOW))
        self._away = True

    def blind(self, now: float) -> None:
        """The engine's counters cannot be read any more: half the window, until they can."""
        if self._last is not None:
            self._last, self._climbing, self.frozen = None, False, False
            self.window = max(1.0, self.window / 2)

    # What follows from it

    @property
    def _servers(self) -> int:
        """How many of ours use the engine."""
        return len(self.peers) + 1

    def _shared(self, now: float) -> bool:
        return now - self._others_at <= OTHERS_SECONDS

    @property
    def _being_read(self) -> int:
        """Prompts of ours, of all servers, that the engine has not read yet."""
        return self.reading + self.peers.reading[0]

    def _kv_room(self) -> float:
        last = self._last
        if last is None or last.kv is None or last.kv_tokens is None:
            return FOREVER
        return (1.0 - self.reserve.left - last.kv) * last.kv_tokens / self._servers

    def _cache_room(self, now: float) -> float:
        last = self._last
        return FOREVER if last is None or last.kv_tokens is None else self.cache.room(last.kv_tokens, now)

    def _steps_last(self, step: float) -> None:
        self.step = step if self.step is None else self.step + SMOOTH * (step - self.step)

    def _hear(self, passed: Between, last: Counters, counters: Counters, ours: float, now: float) -> None:
        sent, self._sent_tokens = self._sent_tokens, 0.0
        running = (last.running + counters.running) / 2
        if running < 0.5:
            # Nobody waits for a step, and how long the last one was says nothing of the next.
            self.step = None
            self._retarget(0.0, now)
        deaf = now - self._heard_at > DEAF_SECONDS
        # A page that counts no steps: our stream says how long they are, where one is out.
        step = passed.step if passed.step is not None or deaf else self.step
        if step is None and counters.steps is None and counters.token_gaps is None and running >= 0.5:
            self._in_the_dark(now)
        if step is None or running < 0.5:
            return
        steps = passed.seconds / step
        self.model.learn(step, running=running, prefilled=passed.prefilled / steps, seconds=passed.seconds)
        if deaf:
            self._steps_last(step)
        self.aim.seen(step, self.model, running=ours, prefilled=sent / steps, others=running - ours, steps=steps)
        self._retarget(passed.seconds, now)
        if deaf:
            self._move(ours)

    def _in_the_dark(self, now: float) -> None:
        """Nobody says how long a step is: with nobody else there that matters to none, and beside others a few may be out."""
        self._retarget(0.0, now)
        if self.target == FOREVER:
            # Room is made as by steps that are short enough.
            self.window = min(float(self.most * self._servers), self.window * (1.0 + GROW))
        else:
            self.target, self.window, self._climbing = None, min(self.window, FIRST_WINDOW), True

    def _retarget(self, seconds: float, now: float) -> None:
        if self.aim.point is Point.FULL or not self._shared(now):
            # Whoever comes first must not stand behind many of our prompts; some are as good for us as many.
            self.target, self.prompts = FOREVER, PROMPTS_MAX
        else:
            self.target = self.aim.after(seconds)
        self.slice = self._size()

    def _move(self, ours: float) -> None:
        step, target = self.step, self.target
        if step is None or target is None:
            return
        if step > target:
            cut = 1.0 - 0.5 * (1.0 - target / step)
            self.window = max(1.0, min(self.window, ours + 1.0) * max(CUT_MIN, min(CUT_MAX, cut)))
            self.prompts = max(PROMPTS_MIN, self.prompts - PROMPTS_STEP)
            self._climbing = False
        elif self._last is not None and self._last.waiting - self._being_read > QUEUED and not self._filling:
            # Nobody else waits, or it would be frozen: ours do, for more than to be read, and the engine runs as many as it can.
            self.window = max(1.0, min(self.window, ours - self._last.waiting + self._being_read + QUEUED))
            self._climbing = False
        elif ours < 0.85 * int(self.window):
            # The window is not used: reading prompts is what is too slow.
            if step < 0.9 * target:
                self.prompts = min(PROMPTS_MAX, self.prompts + PROMPTS_STEP)
        elif self._last is not None:
            # Whoever cannot see others takes no more.
            ease = 1.0 if target == FOREVER else min(1.0, (target - step) / (0.25 * target))
            climbs = self._climbing and step < CLIMB_BELOW * target
            more = self.window if climbs else max(GROW_MIN, GROW * self.window)
            most = self.most_of_all or self.most * self._servers
            self.window = min(float(most), self.window + more * ease)
