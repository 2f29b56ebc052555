"""The window of an engine that others use, on an engine that is a formula: every rule of judgement with its hostile case."""

from dataclasses import dataclass, field

import msgspec
import pytest

from slackwater.core.sending.engine_counters import Counters, between, credible, restarted
from slackwater.core.sending.others_steps import KEPT, SLOW, SLOWEST, USUAL, OthersSteps
from slackwater.core.sending.pacing import FIRST_WINDOW, FOREVER, HOLD_SECONDS, Pacer
from slackwater.core.sending.step_model import StepModel
from slackwater.core.sending.step_target import RULES, SHORT_MIN, SMALLER_SECONDS, Point, StepTarget

LOOK, KV = 0.5, 100_000.0


@dataclass
class Formula:
    """An engine whose steps cost 10 ms, 0.2 ms for each request, and 70 us for each token of a prompt. Nobody's answer ends."""

    pacer: Pacer
    others: float = 0.0
    waiting: float = 0.0
    kv: float = 0.1
    now: float = 0.0
    out: int = 0
    steps: float = 0.0
    generated: float = 0.0
    prefilled: float = 0.0
    tokens: float = 100.0
    found: float | None = None
    block: int | None = None
    prefixes: bool = True
    long: float = 0.0
    """Tokens of others' prompts in each step."""
    history: list[float] = field(default_factory=list)

    def counters(self) -> Counters:
        return Counters(
            running=self.others + self.out - min(self.out, self.waiting if not self.others else 0.0),
            waiting=self.waiting,
            kv=self.kv,
            steps=self.steps,
            step_tokens=self.generated + self.prefilled,
            generated=self.generated,
            kv_tokens=KV,
            found=self.found,
            block_tokens=self.block,
            prefixes=self.prefixes,
        )

    def step(self) -> float:
        return 0.010 + 0.0002 * (self.others + self.out) + 70e-6 * self.long

    def go(self, seconds: float, *, sends: bool = True) -> None:
        """So long, with a look twice a second; ours are as many as the window says."""
        for _ in range(round(seconds / LOOK)):
            while sends and not self.pacer.admits(self.out, self.tokens, self.now):
                chunk = self.pacer.sent(self.tokens, self.now)
                self.out += 1
                self.prefilled += self.tokens
                self.pacer.read(chunk)
            self.out = min(self.out, max(0, int(self.pacer.window)))
            step = self.step()
            self.steps += LOOK / step
            self.generated += LOOK / step * (self.others + self.out)
            self.prefilled += LOOK / step * self.long
            self.now += LOOK
            self.history.append(step)
            self.pacer.looked(self.counters(), in_flight=self.out, now=self.now)


def engine(point: Point = Point.GENTLE, **more: float) -> Formula:
    return Formula(Pacer(StepTarget(point, more.pop("slo", None))), **more)


@pytest.mark.parametrize(("point", "least", "most"), [(Point.STRICT, 1.0, 1.06), (Point.GENTLE, 1.1, 1.35)])
def test_what_others_feel_is_in_the_band_of_the_point(point: Point, least: float, most: float) -> None:
    """With steady traffic the step ends where the point says, although nobody has said how long a step is without us."""
    world = engine(point, others=50.0)
    world.go(120.0)
    alone = 0.010 + 0.0002 * 50
    assert least * alone <= world.step() <= most * alone


@pytest.mark.parametrize("point", [Point.STRICT, Point.GENTLE])
def test_one_long_step_at_the_beginning_is_not_what_others_are_used_to(point: Point) -> None:
    """The first looks fall on a prompt that takes half a second; a minute later others feel what they do without that."""
    usual, unlucky = engine(point, others=50.0), engine(point, others=50.0, long=7000.0)
    unlucky.go(2 * LOOK)
    unlucky.long = 0.0
    for world in (usual, unlucky):
        world.go(60.0)
    assert unlucky.step() <= 1.05 * usual.step()


def test_who_comes_to_a_full_engine_does_not_decide_the_hour() -> None:
    """Their first steps are many times too long, and however long they are, the room that is used shrinks slowly."""
    world = engine()
    world.go(600.0)
    world.others = 5.0
    world.go(2.0)
    assert world.step() > 2.0 * (0.010 + 0.0002 * 5)
    world.go(30.0)
    assert world.pacer.aim.room >= RULES[Point.GENTLE].room * (1.0 + SHORT_MIN * 35.0 / SMALLER_SECONDS)


def test_even_one_may_be_too_much() -> None:
    """At its smallest window nothing new goes while the step is too long; where nobody runs, it does soon."""
    world = engine(Point.STRICT, others=50.0)
    world.go(60.0)
    pacer = world.pacer
    pacer.window = 1.0
    assert pacer.target is not None
    pacer.step = 1.1 * pacer.target
    assert pacer.admits(0, 10.0, world.now) == FOREVER
    # Not for ever: others may be slower by themselves than they were in the hour before.
    assert pacer.admits(0, 10.0, world.now + HOLD_SECONDS) == 0.0
    pacer.step = 0.9 * pacer.target
    assert pacer.admits(0, 10.0, world.now) == 0.0
    pacer.step = 1.1 * pacer.target
    world.others, world.out = 0.0, 0
    for _ in range(2):
        world.now += LOOK
        pacer.looked(world.counters(), in_flight=0, now=world.now)
    assert pacer.admits(0, 10.0, world.now) == 0.0


def test_an_engine_that_comes_back_as_another_one() -> None:
    """Nothing of the one before is remembered, not even where its page could not be read meanwhile: four requests, and anew."""
    for lost in (False, True):
        world = engine(others=30.0)
        world.go(300.0)
        pacer = world.pacer
        assert pacer.model.base > 0.005
        world.steps = world.generated = world.prefilled = 0.0
        world.out = 0
        if lost:
            pacer.blind(world.now)
        # The first page may be a damaged one: it holds back what is sent, and the second one is believed.
        world.now += LOOK
        pacer.looked(world.counters(), in_flight=0, now=world.now)
        assert pacer.admits(int(FIRST_WINDOW) - 1, 10.0, world.now) == 0.0
        assert pacer.admits(int(FIRST_WINDOW), 10.0, world.now) == FOREVER
        world.now += LOOK
        pacer.looked(world.counters(), in_flight=0, now=world.now)
        assert pacer.window == FIRST_WINDOW
        assert pacer.model.base == 0.0
        assert pacer.aim.others.alone == {}
        assert pacer.aim.slower is None
        world.go(120.0)
        assert 1.1 * 0.016 <= world.step() <= 1.35 * 0.016


@pytest.mark.parametrize("what", ["steps", "generated", "both"])
def test_one_page_whose_counts_fall_is_no_other_engine(what: str) -> None:
    """Damaged, or without one of several engines: nothing that was learned is forgotten, and what happened meanwhile is learned
    of the whole time. Meanwhile no more go than to an engine that is new."""
    world = engine(others=30.0)
    world.go(300.0)
    pacer, before = world.pacer, (world.pacer.model.base, dict(world.pacer.aim.others.alone))
    window, step = pacer.window, pacer.step
    assert window > 2 * FIRST_WINDOW
    for _ in range(5):
        said = world.counters()
        steps = 0.0 if what != "generated" else said.steps
        generated = 7.0 if what != "steps" else said.generated
        now = world.now + LOOK
        damaged = msgspec.structs.replace(said, steps=steps, generated=generated)
        pacer.looked(damaged, in_flight=world.out, now=now)
        assert pacer.admits(int(FIRST_WINDOW), 10.0, now) == FOREVER
        assert (pacer.window, pacer.step) == (window, step)
        # The engine has worked on all the time, and the next page is of both looks.
        at = world.step()
        world.steps += LOOK / at
        world.generated += LOOK / at * (world.others + world.out)
        world.now = now
        world.go(LOOK)
        assert pacer.step == pytest.approx(world.step(), rel=0.05)
        assert pacer.window == pytest.approx(window, rel=0.3)
        window, step = pacer.window, pacer.step
    assert pacer.model.base == pytest.approx(before[0], rel=0.05)
    assert pacer.aim.others.alone.keys() >= before[1].keys()


def test_slices_are_counted_as_they_go() -> None:
    """What is read of a prompt within a look is ours in that look, and not all of it in the first."""
    pacer = Pacer(slices=True)
    pacer.slice = 256
    chunk = pacer.sent(1024.0, 0.0)
    assert chunk == 256
    assert pacer.word(1).sent == 0.0
    for sent, upto in ((0.0, 256.0), (256.0, 512.0), (512.0, 1024.0)):
        pacer.found(upto, sent)
    assert pacer.word(1).sent == 1024.0
    # What an answer says was found of it is no more of it.
    pacer.found(0.0, 900.0)
    assert pacer.word(1).sent == 1024.0


def test_a_short_time_between_tokens_is_gentle() -> None:
    """Whoever promises less than others bear anyway is not held to it: that would be below their step without us."""
    promised, gentle = engine(Point.SLO, slo=0.001, others=30.0), engine(others=30.0)
    for world in (promised, gentle):
        world.go(300.0)
    assert promised.pacer.target == pytest.approx(gentle.pacer.target, rel=0.05)


def test_with_nobody_else_every_point_is_full() -> None:
    """Nobody is disturbed, so the window is as large as it may be."""
    for point in (Point.STRICT, Point.GENTLE, Point.SLO, Point.FULL):
        world = engine(point, slo=0.05)
        world.go(60.0)
        assert (world.pacer.target, int(world.pacer.window)) == (FOREVER, world.pacer.most), point


def test_an_engine_with_few_slots() -> None:
    """Nobody has said how many it has: those that it cannot run wait there, and the window is what it runs."""
    world = engine(Point.FULL)
    for _ in range(400):
        world.waiting = max(0.0, world.out - 8.0)
        world.go(LOOK)
    assert 8 <= world.pacer.window <= 12


def test_prompts_that_wait_to_be_read_do_not_hold_an_engine_that_fills() -> None:
    """A step reads so many tokens of prompts and no more: while it runs more of ours at each look, it is not full."""
    pacer = Pacer(window=40.0)
    windows = []
    for look, (running, out) in enumerate([(4, 40), (10, 40), (18, 80), (18, 80)]):
        steps = float(look + 1)
        seen = Counters(
            running=running, waiting=out - running, steps=steps, step_tokens=600 * steps, generated=50 * steps
        )
        pacer.looked(seen, in_flight=out, now=LOOK * steps)
        windows.append(int(pacer.window))
    assert windows == [40, 80, 80, 20]


def test_the_first_of_others_cuts_at_once() -> None:
    """What has grown in an idle hour gives way: every look is a cut until the step is what it should be."""
    world = engine()
    world.others = 30.0
    world.go(60.0)
    world.others = 0.0
    world.go(600.0)
    before = world.pacer.window
    world.others = 30.0
    world.go(2 * LOOK)
    assert world.pacer.window < 0.9 * before
    world.go(20.0)
    assert world.step() <= 1.4 * (0.010 + 0.0002 * 30)


def test_a_time_between_tokens_that_is_promised() -> None:
    """`slo` goes up to what may be seen, and not beyond."""
    world = engine(Point.SLO, others=20.0, slo=0.040)
    world.go(300.0)
    assert 0.025 <= world.step() <= 0.040


def test_who_waits_for_capacity_stops_everything_new() -> None:
    """Also where the window has room; and nothing of what is out is taken back."""
    world = engine(others=10.0)
    world.go(30.0)
    out = world.out
    world.waiting = 5.0
    world.go(LOOK)
    assert (world.pacer.frozen, world.pacer.admits(0, 1.0, world.now)) == (True, FOREVER)
    assert world.out == out
    world.waiting = 0.0
    world.go(LOOK)
    assert not world.pacer.frozen


def test_waiting_that_lasts_takes_from_the_window() -> None:
    """One look with others waiting is a burst that may be over; from the second on the window is cut at each."""
    world = engine(others=30.0)
    world.go(120.0)
    before, world.waiting = world.pacer.window, 3.0
    world.go(LOOK, sends=False)
    assert world.pacer.window >= 0.8 * before
    windows = []
    for _ in range(6):
        world.go(LOOK, sends=False)
        windows.append(world.pacer.window)
    assert all(later < 0.9 * sooner for sooner, later in zip(windows, windows[1:], strict=False))
    assert windows[-1] < 0.5 * before


def test_a_cache_that_is_nearly_full() -> None:
    """A tenth of it is others', also before the next look says how full it is."""
    world = engine(others=5.0)
    world.kv = 0.85
    world.go(2 * LOOK, sends=False)
    pacer = world.pacer
    pacer.read(pacer.sent(4_000.0, world.now))
    assert pacer.admits(1, 2_000.0, world.now) == FOREVER
    assert pacer.admits(1, 500.0, world.now) == 0.0
    world.kv = 0.95
    world.go(LOOK, sends=False)
    assert pacer.frozen


def test_a_request_larger_than_the_room_goes_alone() -> None:
    """It is not kept for ever."""
    world = engine()
    world.go(2 * LOOK, sends=False)
    assert world.pacer.admits(0, 10 * KV, world.now) == 0.0


def test_prompts_are_read_a_few_at_a_time() -> None:
    """However many the window would let go, while others are there or nobody has looked."""
    pacer = Pacer(window=100.0)
    chunks = [pacer.sent(400.0, 0.0), pacer.sent(400.0, 0.0)]
    assert pacer.admits(2, 400.0, 0.0) == FOREVER
    pacer.read(chunks[0])
    assert pacer.admits(2, 400.0, 0.0) == 0.0
    # One that is longer than all of them together may go while none is read.
    pacer.read(chunks[1])
    assert pacer.admits(2, 100_000.0, 0.0) == 0.0


def test_with_nobody_else_prompts_are_counted_by_their_tokens() -> None:
    """Short ones do not fill an engine a few at a time, and it is no more than that of long ones whoever comes first finds."""
    world = engine()
    world.go(60.0)
    world.out = 0
    world.go(LOOK, sends=False)
    for tokens, most in ((100.0, 61), (1500.0, 4)):
        chunks = []
        while len(chunks) < 100 and not world.pacer.admits(len(chunks), tokens, world.now):
            chunks.append(world.pacer.sent(tokens, world.now))
        assert len(chunks) == most
        for chunk in chunks:
            world.pacer.read(chunk)


def test_long_prompts_go_in_whole_blocks() -> None:
    """Of the engine's cache, and only while others are there."""
    world = engine(others=20.0)
    world.found, world.block = 0.0, 48
    pacer = world.pacer
    pacer.slices = True
    assert pacer.slice == 0
    world.go(60.0)
    assert pacer.slice % 48 == 0
    assert 96 <= pacer.slice <= 1024
    assert pacer.chunk(5_000.0) == pacer.slice
    assert pacer.chunk(1.4 * pacer.slice) == 1.4 * pacer.slice
    world.others = 0.0
    world.go(10.0)
    assert pacer.slice == 0


def test_prompts_of_ours_that_wait_to_be_read() -> None:
    """They are no others that wait for capacity."""
    world = engine(others=20.0)
    world.go(60.0)
    for _ in range(3):
        world.pacer.sent(300.0, world.now)
    world.waiting = 3.0
    world.go(LOOK, sends=False)
    assert not world.pacer.frozen
    world.waiting = 6.0
    world.go(LOOK, sends=False)
    assert world.pacer.frozen
    assert world.pacer.others_wait


def test_blocks_that_are_larger_than_a_slice() -> None:
    """Some models have them: then a slice is one."""
    world = engine(others=20.0)
    world.found, world.block, world.pacer.slices = 0.0, 1056, True
    world.go(60.0)
    assert world.pacer.slice == 1056


@pytest.mark.parametrize(("found", "prefixes"), [(None, True), (0.0, False)])
def test_engines_that_keep_no_prefixes(found: float | None, prefixes: bool) -> None:
    """Or that do not say what they find of them: long prompts go whole."""
    world = engine(others=20.0)
    world.found, world.prefixes, world.pacer.slices = found, prefixes, True
    world.go(60.0)
    assert world.pacer.slice == 0


def test_slices_that_are_not_found_again() -> None:
    """The cache is too small, or somebody shares the work among several engines: prompts go whole for an hour."""
    world = engine(others=20.0)
    world.found, world.pacer.slices = 0.0, True
    world.go(60.0)
    for _ in range(30):
        assert world.pacer.slice or world.pacer.effect.none(world.now)
        world.pacer.found(1256.0, 1000.0)
        world.go(LOOK)
    assert world.pacer.slice == 0
    world.go(3600.0)
    assert world.pacer.slice > 0


def test_a_prompt_that_goes_whole_after_all() -> None:
    """All of it is being read then, until it has been."""
    world = engine(others=20.0)
    world.found, world.pacer.slices = 0.0, True
    world.go(60.0)
    pacer = world.pacer
    pacer.prompts, before = 6.0, pacer.reading
    chunk = pacer.sent(5_000.0, world.now)
    assert not pacer.admits(0, 300.0, world.now)
    pacer.grown(5_000.0 - chunk)
    assert pacer.admits(0, 300.0, world.now)
    pacer.read(5_000.0)
    assert pacer.reading == before
    assert not pacer.admits(0, 300.0, world.now)


def test_an_engine_that_starts_again() -> None:
    """Its counts are smaller: the window begins from the start, and no step is made of the difference."""
    world = engine(others=10.0)
    world.go(60.0)
    world.steps = world.generated = world.prefilled = 0.0
    world.out = 0
    before = world.pacer.window
    world.go(2 * LOOK, sends=False)
    assert before > world.pacer.window == 4.0


def test_counters_that_are_lost() -> None:
    """Half the window, once, and never none; what was frozen is not frozen for ever."""
    world = engine(others=10.0)
    world.go(60.0)
    before = world.pacer.window
    world.pacer.frozen = True
    for _ in range(5):
        world.pacer.blind(world.now)
    assert world.pacer.window == before / 2
    assert not world.pacer.frozen
    world.go(5.0)
    assert world.pacer.step is not None


def test_a_stream_is_believed_by_its_mean() -> None:
    """Chunks in bunches, as a starved server sends them, are the same step; and a stream that is alive moves the window alone."""
    world = engine(others=20.0)
    world.go(60.0)
    pacer = world.pacer
    pacer.step = None
    for number in range(100):
        pacer.gap(0.16 if number % 8 == 0 else 0.0, 1, in_flight=world.out, now=world.now + number * 0.02)
    assert pacer.step == pytest.approx(0.02, rel=0.1)


def test_two_who_share_an_engine_both_get_some() -> None:
    """Servers of two teams, of which neither knows the other: each is the other's online traffic, and neither starves."""
    first, second = engine(), engine()
    for _ in range(600):
        for one, other in ((first, second), (second, first)):
            one.others = 20.0 + other.out
            one.go(LOOK)
    assert min(first.out, second.out) >= 1
    assert first.step() <= 3.0 * (0.010 + 0.0002 * 20)


def test_another_point_while_it_runs() -> None:
    """What is known of the engine stays; what may be used of it is another."""
    world = engine(Point.STRICT, others=50.0)
    world.go(120.0)
    strict = world.out
    world.pacer.aim_for(Point.GENTLE, world.now)
    world.go(120.0)
    gentle = world.out
    world.pacer.aim_for(Point.FULL, world.now)
    world.go(120.0)
    assert strict < gentle < world.out


def test_the_target_of_a_pace_that_is_over_is_none() -> None:
    """Whoever changes the pace while nothing is sent sees what holds now, and not what held at the last look."""
    world = engine(others=50.0)
    world.go(120.0)
    world.waiting = 5.0
    world.go(LOOK)
    gentle = world.pacer.target
    assert world.pacer.frozen
    assert gentle is not None
    world.pacer.aim_for(Point.STRICT, world.now)
    strict = world.pacer.target
    assert strict is not None
    assert 0.019 <= strict < gentle
    world.pacer.aim_for(Point.FULL, world.now)
    assert world.pacer.target == FOREVER
    fresh = Pacer()
    fresh.aim_for(Point.STRICT, 1000.0)
    assert fresh.aim.slower is None
    assert fresh.aim.slower_most is None


def test_what_was_promised_and_what_was_felt() -> None:
    """How many times slower others' slow steps were is measured at every pace; what is allowed is what the pace says."""
    slower = []
    for point, allowed in ((Point.STRICT, 1.05), (Point.GENTLE, 1.25), (Point.FULL, None)):
        world = engine(point, others=50.0)
        world.go(300.0)
        assert world.pacer.aim.slower is not None
        slower.append(world.pacer.aim.slower)
        assert world.pacer.aim.slower_most == (None if allowed is None else pytest.approx(allowed))
        if allowed is not None:
            # Of an engine that is a formula the step without us is known.
            assert world.pacer.aim.slower == pytest.approx(world.step() / 0.020, rel=0.1)
    assert 1.0 <= slower[0] < slower[1] < 1.4 < slower[2]
    world = engine(Point.SLO, slo=0.040, others=50.0)
    world.go(300.0)
    assert world.pacer.aim.slower_most is not None
    assert 1.25 < world.pacer.aim.slower_most <= 0.040 / 0.018


def test_a_step_is_counted_or_made_of_the_times_between_tokens() -> None:
    """Engines that count no steps say how long their tokens took."""
    before = Counters(running=1.0, generated=0.0, token_seconds=0.0, token_gaps=0.0)
    after = Counters(running=1.0, generated=50.0, token_seconds=1.0, token_gaps=50.0)
    assert between(before, after, 1.0).step == 0.02
    assert between(after, after, 1.0).step is None
    assert restarted(after, before)
    assert not restarted(Counters(running=1.0), Counters(running=0.0))


def test_what_a_step_costs_is_learned() -> None:
    """Also where it never stood still; and what we add is taken out with what it makes others pile up."""
    model = StepModel()
    for number in range(400):
        running, prefilled = 5.0 + number % 37, float(number * 7 % 300)
        model.learn(0.010 + 0.0002 * running + 70e-6 * prefilled, running=running, prefilled=prefilled, seconds=0.5)
    assert model.base == pytest.approx(0.010, rel=0.1)
    assert model.each == pytest.approx(0.0002, rel=0.2)
    assert model.token == pytest.approx(70e-6, rel=0.05)
    assert model.alone(0.020, own=0.0) == 0.020
    assert model.alone(0.020, own=model.base) == pytest.approx(0.010)


def test_one_absurd_look_is_no_step() -> None:
    """A page that counts a billion steps in half a second, once, changes nothing of what is known."""
    world = engine(others=30.0)
    world.go(60.0)
    before = world.pacer.model.base
    sooner = world.counters()
    world.steps += 1e9
    assert between(sooner, world.counters(), LOOK).step is None
    world.go(60.0)
    assert world.pacer.model.base == pytest.approx(before, rel=0.1)


def test_a_look_at_very_short_steps_counts_no_more_than_a_few() -> None:
    """Although short steps say more of the base than long ones."""
    model = StepModel()
    for number in range(600):
        running = 5.0 + number % 37
        model.learn(0.010 + 0.0002 * running, running=running, prefilled=0.0, seconds=LOOK)
    model.learn(0.0002, running=20.0, prefilled=0.0, seconds=LOOK)
    assert model.base == pytest.approx(0.010, rel=0.05)


@pytest.mark.parametrize("running", [0.0, 1.0, 8.0])
def test_a_model_of_looks_that_are_all_the_same(running: float) -> None:
    """Nothing can be told apart, and nothing is divided by zero: what is there is the base."""
    model = StepModel()
    for _ in range(50):
        model.learn(0.02, running=running, prefilled=0.0, seconds=0.5)
    assert 0.002 <= model.base <= 0.021
    assert 0.0 <= model.alone(0.02, own=model.each * running) <= 0.02


def seen_for(seconds: int, others: OthersSteps, step: float, model: StepModel, *, ours: float = 0.0) -> None:
    """As many looks, with ten of others."""
    for _ in range(int(seconds / LOOK)):
        others.seen(step, running=ours, prefilled=0.0, tokens=10.0 * LOOK / step, seconds=LOOK, model=model)


def test_what_was_long_ago_counts_less() -> None:
    """And no more is kept than an hour."""
    model, others = StepModel(), OthersSteps()
    assert others.alone == {}
    seen_for(1, others, 0.1, model)
    assert others.felt == others.alone == {USUAL: 0.1, SLOW: 0.1, SLOWEST: 0.1}
    seen_for(400, others, 0.1, model)
    seen_for(60, others, 0.01, model)
    # A minute has made more tokens than seven at a tenth of the speed.
    assert (others.felt[USUAL], others.felt[SLOWEST]) == (pytest.approx(0.01), pytest.approx(0.1))
    seen_for(KEPT, others, 0.01, model)
    assert others.felt[SLOWEST] == pytest.approx(0.01)
    assert others.seconds == pytest.approx(KEPT + 461)


def test_another_pace_is_not_told_of_the_one_before() -> None:
    """What others felt while everything was taken says nothing of whether `strict` is held. What they are used to stays."""
    world = engine(Point.FULL, others=50.0)
    world.go(300.0)
    assert (world.pacer.aim.slower or 0.0) > 1.4
    world.pacer.aim_for(Point.STRICT, world.now)
    assert world.pacer.aim.slower is None
    # What is out runs to its end.
    world.go(30.0)
    world.pacer.aim_for(Point.STRICT, world.now)
    world.go(30.0)
    assert 1.0 <= (world.pacer.aim.slower or 0.0) < 1.1
    assert world.pacer.aim.others.alone


def test_the_first_minute_is_seen_with_what_is_known_later() -> None:
    """Nobody knew then what of a step was ours."""
    others = OthersSteps()
    seen_for(60, others, 0.020, StepModel(base=0.020), ours=50.0)
    assert others.alone[USUAL] == pytest.approx(0.020)
    known = StepModel(base=0.010, each=0.0002)
    seen_for(2, others, 0.020, known, ours=50.0)
    assert others.alone[USUAL] == others.alone[SLOWEST] == pytest.approx(0.010)
    assert others.felt[SLOWEST] == pytest.approx(0.020)


@pytest.mark.parametrize(
    ("counters", "believed"),
    [
        (Counters(running=300.0, waiting=5.0, kv=1.0), True),
        (Counters(running=1e9), False),
        (Counters(running=1.0, waiting=1e300), False),
        (Counters(running=1.0, kv=99.0), False),
    ],
)
def test_a_page_that_cannot_be(counters: Counters, believed: bool) -> None:
    """One absurd number would stay in all that is learned."""
    assert credible(counters) is believed


def test_noise_that_goes_with_how_many_run() -> None:
    """Steps that seem to cost nothing but their requests: it is not believed that an engine without ours would take no time."""
    model = StepModel()
    for look in range(2000):
        running = 5.0 + look % 20
        model.learn(0.0003 * running, running=running, prefilled=0.0, seconds=LOOK)
    mean = 0.0003 * 14.5
    shortest = 0.0003 * 5.0
    assert model.base >= 0.5 * shortest
    assert model.alone(mean, own=0.5 * mean) > 0.25 * mean
