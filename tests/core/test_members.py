"""Who is buried, look by look."""

import itertools

import pytest

from slackwater.core.members import LOOK_SECONDS, MISSING_SECONDS, Look, Seen, Turn, Watch, member_of, step_seconds


def seen(name: str, *, held: bool = True, overdue: float = 0.0, dead: bool = False) -> Seen:
    """A member in a look."""
    return Seen(id=name, held=held, overdue=overdue, dead=dead)


GONE = seen("a", held=False)


class Looking:
    """A watch, and what it finds, look by look."""

    def __init__(self) -> None:
        self.watch = Watch()
        self.at = 1000.0

    def __call__(
        self, *others: Seen, after: float = LOOK_SECONDS, turn: Turn = Turn.WATCHER, young: bool = False
    ) -> list[str]:
        self.at += after
        return [each.id for each in self.watch.judge(Look(others=others, at=self.at, turn=turn, young=young))]


def test_whoever_is_missing_for_a_moment_is_dead() -> None:
    """Once may be a lost connection, which is back a moment later."""
    look = Looking()
    assert look(GONE, seen("b")) == []
    assert look.watch.doubts
    assert look(seen("a"), seen("b"), after=MISSING_SECONDS) == []
    assert not look.watch.doubts
    assert look(GONE, seen("b")) == []
    assert look(GONE, seen("b"), after=MISSING_SECONDS / 2) == []
    assert look(GONE, seen("b"), after=MISSING_SECONDS) == ["a"]
    # It is found anew where its burial did not come about.
    assert look(GONE, after=MISSING_SECONDS) == []
    assert look(GONE, after=MISSING_SECONDS) == ["a"]


def test_one_look_is_never_enough() -> None:
    """However long ago the one before was."""
    look = Looking()
    assert look(seen("a")) == []
    assert look(GONE, after=60.0) == []


@pytest.mark.parametrize("turn", list(Turn))
def test_whoever_is_overdue_is_dead(turn: Turn) -> None:
    """A machine that is lost may hold its lock for long, and a process that was stopped for ever."""
    look = Looking()
    assert look(seen("a", overdue=turn.value), seen("b"), turn=turn) == []
    assert look(seen("a", overdue=turn.value + 0.01), seen("b"), turn=turn) == ["a"]


def test_who_does_not_watch_leaves_it_to_those_who_do() -> None:
    """For a while: they may be dead themselves, or hang, and say that they live all the same."""
    took = {}
    for turn in Turn:
        look = Looking()
        begun = look.at + LOOK_SECONDS
        took[turn] = next(look.at - begun for _ in itertools.count() if look(GONE, turn=turn))
    assert took[Turn.WATCHER] < took[Turn.DEPUTY] < took[Turn.OTHER]
    assert took[Turn.OTHER] == pytest.approx(Turn.OTHER.value + MISSING_SECONDS, abs=2 * LOOK_SECONDS)


def test_a_deputy_that_begins_to_watch_knows_who_is_missing() -> None:
    """The one that watched is dead as soon as anybody else would be."""
    look = Looking()
    assert look(GONE, turn=Turn.DEPUTY) == []
    assert look(GONE, after=MISSING_SECONDS) == ["a"]


def test_the_young_bury_nobody_but_the_dead() -> None:
    """After a fail-over all have lost their locks, and who is back first must not take the others for dead."""
    look = Looking()
    for _ in range(3):
        assert look(GONE, seen("b", overdue=1.0), seen("c", dead=True), young=True, after=1.0) == ["c"]
        # Whoever knows that its process has ended need not wait.
        assert look.watch.doubts == {"a"}
    assert look(GONE) == []


def test_whose_an_owner_is() -> None:
    """Names of workers are made of that of their member."""
    assert member_of("3f2a-12") == "3f2a"


def test_many_do_not_try_more_often_than_few() -> None:
    """Eight of them try sixteen times a second together, and fifty no more than twenty-five; each at least every two seconds."""
    tries = [step_seconds(each, Turn.OTHER) for each in (1, 8, 16, 50, 1_000)]
    assert tries == [0.5, 0.5, 1.0, 2.0, 2.0]
    # Who watches looks twenty times a second, and while it is alone once.
    assert [step_seconds(each, Turn.WATCHER) for each in (1, 2, 50)] == [1.0, 0.05, 0.05]
