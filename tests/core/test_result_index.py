"""An index of results: what is kept of a line, orders in both directions, filters, numbers, and two jobs side by side."""

import json
import random
from typing import Any

import pytest

from slackwater.core.sending.lines import LineWriter
from slackwater.core.watching.comparison import Show, compare
from slackwater.core.watching.result_entries import NONE, UNPLACED, UNREADABLE, Entry, Numbers, fingerprint, read_entry
from slackwater.core.watching.result_index import GROUPS_MAX, OTHERS, Columns, Order, ResultIndex, Wanted
from slackwater.core.watching.result_lines import whole_answer

DIGESTS = ["a" * 32, "b" * 32, "c" * 32]


def digest(index: int) -> str:
    """That of a shard."""
    return DIGESTS[index] if index < len(DIGESTS) else f"{index:032x}"


def entry(number: int, **more: Any) -> Entry:
    """One that says so much and nothing else."""
    values: dict[str, Any] = {
        "place": None,
        "tokens": NONE,
        "milliseconds": NONE,
        "error": None,
        "id": number,
        "answer": 0,
    } | more
    return Entry(**values)


def index_of(entries: list[tuple[int, Entry]], *, step: int = 3) -> ResultIndex:
    """An index of entries with their numbers, of ten bytes each, read a few at a time from one file."""
    index = ResultIndex()
    for begin in range(0, len(entries), step):
        columns = Columns()
        for number, each in entries[begin : begin + step]:
            columns.add(each, length=10, number=number)
        index.extend(columns, key="files/1", offset=10 * begin, failed=False)
    return index


def test_what_is_kept_of_an_answer() -> None:
    """Which request it is of, its tokens, how long it took, and what it says whatever the engine calls it."""
    writer = LineWriter(DIGESTS[1])
    body = {"id": "chatcmpl-1", "choices": [{"message": {"content": "Hi"}}], "usage": {"completion_tokens": 7}}
    one = read_entry(writer.answered(5, "x", status=200, body=json.dumps(body).encode(), seconds=1.5), failed=False)
    assert (one.place, one.tokens, one.milliseconds, one.error) == (("b" * 24, 5), 7, 1500, None)
    body |= {"id": "chatcmpl-2", "created": 9}
    two = read_entry(writer.answered(6, "x", status=200, body=json.dumps(body).encode()), failed=False)
    assert (two.id, two.answer, two.milliseconds) == (one.id, one.answer, NONE) == (fingerprint(b"x"), one.answer, NONE)


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ({"choices": [{"message": {"content": "a"}}]}, {"choices": [{"message": {"content": "A"}}]}, False),
        ({"choices": [{"text": "a"}, {"text": "b"}]}, {"choices": [{"text": "a"}, {"text": "c"}]}, False),
        ({"choices": [{"text": "a"}], "usage": {"x": 1}}, {"choices": [{"text": "a"}], "usage": None}, True),
        ({"data": [{"embedding": [0.1]}], "id": 1}, {"data": [{"embedding": [0.1]}], "id": 2}, True),
        ({"data": [{"embedding": [0.1]}]}, {"data": [{"embedding": [0.2]}]}, False),
        (
            {"choices": [{"message": {"tool_calls": [{"id": "1", "function": {"name": "f"}}]}}]},
            {"choices": [{"message": {"tool_calls": [{"id": "2", "function": {"name": "f"}}]}}]},
            True,
        ),
        (
            {"output": [{"id": 1, "content": [{"text": "a"}]}]},
            {"output": [{"id": 2, "content": [{"text": "a"}]}]},
            True,
        ),
        ({"strange": 1}, {"strange": 2}, False),
    ],
)
def test_answers_that_are_the_same(one: Any, two: Any, same: bool) -> None:
    """What a model has said counts, and nothing that differs from call to call."""
    found = [whole_answer(json.dumps(each).encode())[0] for each in (one, two)]
    assert (found[0] == found[1]) is same


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b'{"custom_id":7}',
        b'{"custom_id":"x","response":{"status_code":"no","body":{}}}',
    ],
)
def test_a_damaged_line_is_a_failed_one(line: bytes) -> None:
    """It has a place in the table, and nothing else."""
    for failed in (False, True):
        assert read_entry(line, failed=failed) == Entry(None, NONE, NONE, UNREADABLE, 0, 0)


@pytest.mark.parametrize(
    "usage", [None, "x", {"completion_tokens": -1}, {"output_tokens": 2**40}, {"output_tokens": "7"}]
)
def test_usage_that_is_none(usage: Any) -> None:
    """It is not believed, and the answer is one all the same."""
    body = json.dumps({"choices": [], "usage": usage}).encode()
    read = read_entry(LineWriter(DIGESTS[0]).answered(0, "x", status=200, body=body), failed=False)
    assert (read.tokens, read.error) == (NONE, None)


def test_numbers_of_requests() -> None:
    """By the lines of the shards before; without these, in the same order; none for a shard that is not of the batch."""
    known, order = Numbers(digest, [2, 3, 4]), Numbers(digest, None)
    places = [("a" * 24, 0), ("a" * 24, 1), ("b" * 24, 0), ("c" * 24, 3)]
    assert [known.of(place) for place in reversed(places)] == [9, 3, 2, 1]
    assert [order.of(place) for place in places] == sorted({order.of(place) for place in places})
    assert known.of(("d" * 24, 0)) == known.of(None) == order.of(None) == UNPLACED


def test_orders() -> None:
    """In either direction, what has no value last; ties as they came; those that come later are put in."""
    chance = random.Random(1)
    entries = [
        (number, entry(number, tokens=chance.choice([1, 2, 3, NONE]), milliseconds=chance.choice([5, 6, NONE])))
        for number in chance.sample(range(1, 41), 40)
    ]
    index = index_of(entries[:25])
    for count in (25, 40):
        if count == 40:
            columns = Columns()
            for number, each in entries[25:]:
                columns.add(each, length=10, number=number)
            index.extend(columns, key="files/1", offset=250, failed=False)
        for descending in (False, True):
            by_line = index.view(Order.LINE, descending=descending, wanted=Wanted())
            assert [index.number(each) for each in by_line] == sorted(
                [number for number, _ in entries[:count]], reverse=descending
            )
            for order, of in ((Order.OUTPUT_TOKENS, index.tokens), (Order.LATENCY, index.seconds)):
                values = [of(each) for each in index.view(order, descending=descending, wanted=Wanted())]
                known = [each for each in values if each is not None]
                assert known == sorted(known, reverse=descending)
                assert values == known + [None] * (count - len(known))
    assert list(index.view(Order.ARRIVAL, descending=True, wanted=Wanted())) == list(range(39, -1, -1))
    assert index.place(27) == ("files/1", 270, 10, False)


def test_filters() -> None:
    """By what became of a request, and by group; a code that is not there has nothing."""
    errors = [None, ("busy", 429), ("busy", 500), None, ("gone", None)]
    index = index_of([(number, entry(number, error=error)) for number, error in enumerate(errors, 1)], step=2)

    def found(*wanted: Any) -> list[int]:
        return list(index.view(Order.ARRIVAL, descending=False, wanted=Wanted(*wanted)))

    assert (found(), found(False), found(True)) == ([0, 1, 2, 3, 4], [0, 3], [1, 2, 4])
    assert (found(True, "busy"), found(True, "busy", 500), found(True, "nothing")) == ([1, 2], [2], [])
    assert index.error(2) == ("busy", 500)


def test_codes_that_somebody_makes_up() -> None:
    """There is a bound on groups; what comes behind it is one."""
    columns = Columns()
    for number in range(GROUPS_MAX + 50):
        columns.add(entry(number, error=(f"code-{number}", 500)), length=1, number=number)
    other = Columns()
    other.extend(columns)
    assert columns.codes[-1] == other.codes[-1] == OTHERS
    assert len(other.codes) == GROUPS_MAX + 1
    assert set(other.group[GROUPS_MAX:]) == {GROUPS_MAX + 1}


def test_numbers_by_order_alone() -> None:
    """Where every result is there they are counted; where a file has been deleted nobody knows."""
    entries = [(number, entry(number)) for number in (900, 2, 70, UNPLACED)]
    whole = index_of(entries[:3])
    whole.number_all(total=3)
    assert [whole.number(each) for each in range(3)] == [3, 1, 2]
    for part, total in ((entries[:3], 4), (entries, 4)):
        index = index_of(part)
        index.number_all(total=total)
        assert {index.number(each) for each in range(len(part))} == {None}
        assert list(index.view(Order.LINE, descending=False, wanted=Wanted()))[:3] == [1, 2, 0]


@pytest.mark.parametrize(("number", "up", "down"), [(1, 0, 5), (4, 1, 3), (5, 2, 3), (6, 2, 2), (10, 4, 0), (11, 5, 0)])
def test_jumping_to_a_line(number: int, up: int, down: int) -> None:
    """To the request of that number, or the next one that is there, in either direction; one without a number is behind all."""
    index = index_of([(each, entry(each)) for each in (10, 2, 8, 4, 6, UNPLACED)])
    for descending, place in ((False, up), (True, down)):
        view = index.view(Order.LINE, descending=descending, wanted=Wanted())
        assert index.place_of_number(number, view, descending=descending) == place


def test_finding_by_an_id() -> None:
    """Also those that have come since; None for one that is not there."""
    index = index_of([(number, entry(number, id=number * 7 % 11)) for number in range(1, 8)])
    assert [index.find(number * 7 % 11) for number in range(1, 8)] == list(range(7))
    assert index.find(99) is None


def test_two_jobs_side_by_side() -> None:
    """By id: those that differ, are the same, or are in one alone, each in the order of lines; an error is no answer."""
    here = index_of([(number, entry(number, answer=number)) for number in (5, 1, 3, 2)])
    there = index_of(
        [
            (9, entry(9)),
            (1, entry(5, answer=5)),
            (2, entry(3, answer=4)),
            (3, entry(2, answer=2, error=("busy", 429))),
        ]
    )
    found = compare(here, there)
    assert {show: found.total(show) for show in Show} == {
        Show.ALL: 5,
        Show.DIFFERENT: 2,
        Show.SAME: 1,
        Show.ONLY_HERE: 1,
        Show.ONLY_THERE: 1,
    }
    everything = [(3, 3), (2, 2), (1, None), (None, 0), (0, 1)]
    assert found.wanted(Show.ALL, offset=0, limit=9) == everything
    assert [found.wanted(Show.ALL, offset=at, limit=2) for at in (0, 1, 3, 5)] == [
        everything[:2],
        everything[1:3],
        everything[3:],
        [],
    ]
    assert found.wanted(Show.ONLY_THERE, offset=0, limit=9) == [(None, 0)]
