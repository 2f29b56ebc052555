"""Who is buried, look by look."""

from slackwater.core.members import Look, Seen, Watch, member_of, step_seconds


def seen(name: str, *, held: bool = True, overdue: bool = False, dead: bool = False) -> Seen:
    """A member in a look."""
    return Seen(id=name, held=held, overdue=overdue, dead=dead)


def look(*others: Seen, watching: bool = True, young: bool = False) -> Look:
    """A look of the one that watches."""
    return Look(others=others, watching=watching, young=young)


def test_whoever_is_missing_twice_is_dead() -> None:
    """Once may be a lost connection, which is back a moment later. It has to be two looks in a row."""
    watch = Watch()
    gone = seen("a", held=False)
    assert watch.judge(look(gone, seen("b"))) == []
    assert watch.doubts
    assert watch.judge(look(seen("a"), seen("b"))) == []
    assert not watch.doubts
    assert watch.judge(look(gone, seen("b"))) == []
    assert watch.judge(look(gone, seen("b"))) == ["a"]
    # It is found anew where its burial did not come about.
    assert watch.judge(look(gone)) == []
    assert watch.judge(look(gone)) == ["a"]


def test_whoever_is_overdue_is_dead_at_once() -> None:
    """A machine that is lost may hold its lock for long, and a process that was stopped for ever."""
    assert Watch().judge(look(seen("a", overdue=True), seen("b"))) == ["a"]


def test_others_see_to_those_who_are_overdue_alone() -> None:
    """The one that watches may be among them. Locks are its business."""
    watch = Watch()
    for _ in range(3):
        assert watch.judge(look(seen("a", held=False), watching=False)) == []
    assert watch.judge(look(seen("a", overdue=True), watching=False)) == ["a"]


def test_looks_of_two_who_watched_are_not_added_up() -> None:
    """What was missing when somebody else watched is missing for the first time."""
    watch = Watch()
    gone = seen("a", held=False)
    assert watch.judge(look(gone)) == []
    assert watch.judge(look(gone, watching=False)) == []
    assert watch.judge(look(gone)) == []
    assert watch.judge(look(gone)) == ["a"]


def test_the_young_bury_nobody_but_the_dead() -> None:
    """After a fail-over all have lost their locks, and who is back first must not take the others for dead."""
    watch = Watch()
    lost = (seen("a", held=False), seen("b", overdue=True), seen("c", dead=True))
    for _ in range(3):
        assert watch.judge(look(*lost, young=True)) == ["c"]
    assert watch.judge(look(seen("a", held=False))) == []


def test_whose_an_owner_is() -> None:
    """Names of workers are made of that of their member."""
    assert member_of("3f2a-12") == "3f2a"


def test_many_do_not_try_more_often_than_few() -> None:
    """Four of them try twenty times a second together, and fifty no more than fifty times; each at least once a second."""
    tries = [step_seconds(each, watching=False) for each in (1, 4, 8, 20, 50, 1_000)]
    assert tries == [0.2, 0.2, 0.4, 1.0, 1.0, 1.0]
    # Who watches looks ten times a second, and while it is alone once.
    assert [step_seconds(each, watching=True) for each in (1, 2, 50)] == [1.0, 0.1, 0.1]
