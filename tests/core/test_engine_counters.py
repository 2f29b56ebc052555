"""What is believed of an engine's counts, and forgotten: damaged pages, engines that start again, what a step costs."""

import msgspec
import pytest

from slackwater.core.sending.engine_counters import Counters, between, credible, restarted
from slackwater.core.sending.pacing import FIRST_WINDOW, FOREVER
from slackwater.core.sending.step_model import StepModel
from tests.core.formula_engine import LOOK, engine


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
