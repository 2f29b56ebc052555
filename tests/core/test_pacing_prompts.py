"""How an engine that others use is given our prompts: a few at a time, in slices, and none that its cache has no room for."""

import pytest

from slackwater.core.sending.engine_counters import Counters
from slackwater.core.sending.pacing import FOREVER, Pacer
from tests.core.formula_engine import KV, LOOK, engine


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
