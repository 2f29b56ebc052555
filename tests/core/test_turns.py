"""Tenants share an engine by their weights, in tokens, and nobody gets more for having been away or for asking often."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.sending.turns import Seat, Turns


def serve(turns: Turns[str], calls: int, *, cost: dict[str, float]) -> dict[str, float]:
    """So many requests in the order of turns; the tokens that each seat got."""
    got: dict[str, float] = dict.fromkeys(cost, 0.0)
    for _ in range(calls):
        seat = turns.next()
        assert seat is not None
        got[seat.of] += cost[seat.of]
        turns.took(seat, cost[seat.of])
    return got


def test_nobody_has_anything() -> None:
    """Then it is nobody's turn, and a seat is nobody before it is ready."""
    turns: Turns[str] = Turns()
    seat = turns.seat("a", "A")
    assert turns.next() is None
    assert not turns
    turns.ready(seat)
    turns.ready(seat)
    assert turns.next() is seat
    assert not turns.shared
    turns.rest(seat)
    turns.rest(seat)
    assert turns.next() is None


def test_tokens_count_and_not_requests() -> None:
    """Who sends long requests has as many tokens as who sends short ones, to within one request of each."""
    turns: Turns[str] = Turns()
    cost = {"long": 10_000.0, "short": 70.0}
    for name in cost:
        turns.ready(turns.seat(name, name))
    assert turns.shared
    got = serve(turns, 5_000, cost=cost)
    assert abs(got["long"] - got["short"]) <= 10_070


def test_weights() -> None:
    """A tenant of weight 3 has three times what one of weight 1 has."""
    turns: Turns[str] = Turns()
    for name, weight in (("one", 1.0), ("three", 3.0)):
        turns.ready(turns.seat(name, name, weight=weight))
    got = serve(turns, 4_000, cost={"one": 10.0, "three": 10.0})
    assert got == {"one": 10_000.0, "three": 30_000.0}


def test_many_seats_are_one_tenant() -> None:
    """A tenant with nine deployments has no more than one with a single one; its own take turns."""
    turns: Turns[str] = Turns()
    cost = {f"a{number}": 5.0 for number in range(9)} | {"b": 5.0}
    for name in cost:
        turns.ready(turns.seat(name, name[0]))
    got = serve(turns, 1_800, cost=cost)
    assert got["b"] == 4_500.0
    assert {got[f"a{number}"] for number in range(9)} == {500.0}


def test_an_absence_is_no_credit() -> None:
    """Who comes back has an equal share from then on, and nobody waits until he has caught up."""
    turns: Turns[str] = Turns()
    always, away = turns.seat("always", "A"), turns.seat("away", "B")
    turns.ready(always)
    serve(turns, 1_000, cost={"always": 100.0})
    turns.ready(away)
    got = serve(turns, 100, cost={"always": 100.0, "away": 100.0})
    assert abs(got["always"] - got["away"]) <= 100


def test_what_a_request_really_cost() -> None:
    """What comes out later counts then: more at once, less as a credit with the next ones."""
    turns: Turns[str] = Turns()
    guessed, known = turns.seat("guessed", "A"), turns.seat("known", "B")
    turns.ready(guessed)
    turns.ready(known)
    got = {"guessed": 0.0, "known": 0.0}
    for _ in range(6_000):
        seat = turns.next()
        assert seat is not None
        # One thinks it is 400 and it is 100; then it thinks 10, and it is 100.
        turns.took(seat, (400.0 if got["guessed"] < 100_000 else 10.0) if seat is guessed else 100.0)
        if seat is guessed:
            turns.spent(seat, -300.0 if got["guessed"] < 100_000 else 90.0)
        got[seat.of] += 100.0
    assert abs(got["guessed"] - got["known"]) <= 1_000


@pytest.mark.parametrize("seed", range(20))
def test_fair_over_any_stretch(seed: int) -> None:
    """Of those who have something all the time, none is behind another by more than a few of its largest requests."""
    chance = random.Random(seed)
    turns: Turns[int] = Turns()
    weights = [chance.choice((0.5, 1.0, 2.0, 5.0)) for _ in range(6)]
    largest = [chance.choice((10, 500, 20_000)) for _ in weights]
    seats: list[Seat[int]] = [turns.seat(number, str(number), weight=weight) for number, weight in enumerate(weights)]
    served = [0.0 for _ in weights]
    # The first two always have something.
    for number in (0, 1):
        turns.ready(seats[number])
    marks = []
    for step in range(20_000):
        other = chance.randrange(2, len(seats))
        (turns.ready if chance.random() < 0.5 else turns.rest)(seats[other])
        seat = turns.next()
        assert seat is not None
        assert seat.ready
        tokens = chance.randint(1, largest[seat.of])
        turns.took(seat, tokens)
        served[seat.of] += tokens / weights[seat.of]
        if step % 1_000 == 0:
            marks.append(served[0] - served[1])
    bound = 2 * (largest[0] / weights[0] + largest[1] / weights[1])
    assert max(marks) - min(marks) <= bound


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 1000)), max_size=200))
def test_like_the_plain_rule(moves: list[tuple[int, int, int]]) -> None:
    """Whose turn it is, is the one of the least virtual time, found by looking at all of them."""
    turns: Turns[int] = Turns()
    seats = [turns.seat(number, str(number)) for number in range(5)]
    times, now = [0.0] * 5, 0.0
    for number, move, tokens in moves:
        if move == 0:
            if not seats[number].ready:
                times[number] = max(times[number], now)
            turns.ready(seats[number])
        elif move == 1:
            turns.rest(seats[number])
        elif (seat := turns.next()) is not None:
            ready = [each for each in range(5) if seats[each].ready]
            assert times[seat.of] == min(times[each] for each in ready)
            now = max(now, times[seat.of])
            times[seat.of] += tokens
            turns.took(seat, tokens)
