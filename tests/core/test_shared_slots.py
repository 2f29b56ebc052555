"""How slots are divided: fair parts by demand, and turns where there are fewer of them than who want one."""

from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.sending.shared_slots import KNOWN_CALLS, LONGER, LONGEST_MAX, divide, lasts

WANTED = st.dictionaries(st.text(max_size=3), st.integers(0, 300), max_size=12)


@given(limit=st.integers(0, 300), wanted=WANTED, turn=st.integers(0, 1000))
def test_parts_are_fair(limit: int, wanted: dict[str, int], turn: int) -> None:
    """All that is wanted and there is given; nobody has more than it wants, nor two more than one who wants more."""
    parts = divide(limit, wanted, turn=turn)
    assert parts.keys() == wanted.keys()
    assert sum(parts.values()) == min(limit, sum(wanted.values()))
    for name, part in parts.items():
        assert 0 <= part <= wanted[name]
        if part < wanted[name]:
            assert max(parts.values()) <= part + 1


def test_who_wants_little_gets_it() -> None:
    """And the others share what that leaves."""
    assert divide(60, {"a": 5, "b": 100, "c": 100}) == {"a": 5, "b": 27, "c": 28}
    assert divide(60, {"a": 5, "b": 0}) == {"a": 5, "b": 0}
    assert divide(-3, {"a": 5}) == {"a": 0}


def test_turns() -> None:
    """Each has a slot in one of as many turns as there are members."""
    members = {f"m{number}": 7 for number in range(5)}
    had = [name for turn in range(5) for name, part in divide(1, members, turn=turn).items() if part]
    assert sorted(had) == sorted(members)


def test_how_long_calls_last() -> None:
    """Known once enough have ended in twice the time of the longest; before that the longest say little."""
    assert lasts(10.0, ended=KNOWN_CALLS, watched=20.0) == (10.0 * LONGER, True)
    assert lasts(10.0, ended=KNOWN_CALLS, watched=19.0) == (20.0, False)
    assert lasts(10.0, ended=KNOWN_CALLS - 1, watched=900.0) == (20.0, False)
    assert lasts(1e6, ended=KNOWN_CALLS, watched=1e9) == (LONGEST_MAX, True)
