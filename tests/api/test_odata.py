"""The grammar of `$filter` and `$orderby`: what is read, and where and why the rest is refused."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.api.odata import read_query
from slackwater.core.batch import Status
from slackwater.core.errors import InvalidRequest
from slackwater.core.watching.listing import (
    EQUALITY,
    EVERY_BATCH,
    INTEGER_LEAST,
    INTEGER_MOST,
    NUMBERS,
    ORDERED,
    BatchQuery,
    Condition,
    Field,
    Operator,
    Ordering,
)


def conditions(text: str) -> tuple[Condition, ...]:
    """What a filter says."""
    return read_query([text], []).conditions


def ordering(text: str) -> Ordering:
    """What an order says."""
    return read_query([], [text]).ordering


def status(name: Status, operator: Operator = Operator.EQ) -> Condition:
    """A condition on the status."""
    return Condition(Field.STATUS, operator, name)


def test_the_documented_line() -> None:
    """The line of Microsoft's page, as it is after the query string was decoded."""
    query = read_query(
        ["created_at gt 1728773533 and created_at lt 1729032733 and status eq 'Completed'"], ["created_at asc"]
    )
    assert query == BatchQuery(
        conditions=(
            Condition(Field.CREATED_AT, Operator.GT, 1728773533),
            Condition(Field.CREATED_AT, Operator.LT, 1729032733),
            status(Status.COMPLETED),
        ),
        ordering=Ordering(field=Field.CREATED_AT, descending=False),
    )


@pytest.mark.parametrize("nothing", [[], [""], ["  "]])
def test_nothing_asked(nothing: list[str]) -> None:
    """An absent or blank parameter asks for all batches, newest first."""
    assert read_query(nothing, nothing) == EVERY_BATCH


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("status eq 'InProgress'", (status(Status.IN_PROGRESS),)),
        ("status eq 'in_progress'", (status(Status.IN_PROGRESS),)),
        ("STATUS EQ 'INPROGRESS'", (status(Status.IN_PROGRESS),)),
        ("  status   ne\t'Cancelled'  ", (status(Status.CANCELLED, Operator.NE),)),
        ("status eq 'failed' AND Status Ne 'expired'", (status(Status.FAILED), status(Status.EXPIRED, Operator.NE))),
        ("created_at ge -1", (Condition(Field.CREATED_AT, Operator.GE, -1),)),
        ("created_at le 000000000000000000000000007", (Condition(Field.CREATED_AT, Operator.LE, 7),)),
        ("created_at le 9223372036854775807", (Condition(Field.CREATED_AT, Operator.LE, INTEGER_MOST),)),
        ("created_at gt -9223372036854775808", (Condition(Field.CREATED_AT, Operator.GT, INTEGER_LEAST),)),
        ("cancelled_at ne 0", (Condition(Field.CANCELLED_AT, Operator.NE, 0),)),
        ("input_file_id eq 'it''s and'", (Condition(Field.INPUT_FILE_ID, Operator.EQ, "it's and"),)),
        ("endpoint eq ''''", (Condition(Field.ENDPOINT, Operator.EQ, "'"),)),
        ("endpoint ne ''", (Condition(Field.ENDPOINT, Operator.NE, ""),)),
        ("metadata/Team eq 'Tides'", (Condition(Field.METADATA, Operator.EQ, "Tides", "Team"),)),
        ("MetaData/a.b/c Ne ''", (Condition(Field.METADATA, Operator.NE, "", "a.b/c"),)),
        ("metadata/'my ''team''' eq 'and'", (Condition(Field.METADATA, Operator.EQ, "and", "my 'team'"),)),
    ],
)
def test_filters_that_are_read(text: str, expected: tuple[Condition, ...]) -> None:
    """Keywords and statuses in any case, underscores or not, any spaces, '' for a quote, integers of 64 bits."""
    assert conditions(text) == expected


@pytest.mark.parametrize(
    ("text", "position", "there", "what"),
    [
        ("foo eq 1", 1, "foo", "one of the fields created_at, status,"),
        ("created_at", 11, "the end", "one of eq, ne, gt, ge, lt, le after 'created_at'"),
        ("created_at is 5", 12, "is", "one of eq, ne"),
        ("created_at>5", 1, "created_at>5", "is written like: created_at gt 1728773533"),
        ("created_at gt", 14, "the end", "epoch seconds"),
        ("created_at gt 1 and", 20, "the end", "one of the fields"),
        ("created_at gt 1 or created_at lt 0", 17, "or", "only 'and' joins comparisons"),
        ("not status eq 'failed'", 1, "not", "only 'and' joins comparisons"),
        ("(status eq 'failed')", 1, "(", "parentheses are not supported"),
        (
            "status eq 'failed' and contains(endpoint,'x')",
            24,
            "contains",
            "functions and parentheses are not supported",
        ),
        ("created_at gt 1 created_at lt 0", 17, "created_at", "expected 'and' or the end"),
        ("status eq completed", 11, "completed", "a text in single quotes"),
        ('status eq "completed"', 11, '"completed"', "a text in single quotes"),
        ("status eq 'completed", 11, "'", "not closed"),
        ("status eq 'complete''", 11, "'", "not closed"),
        ("status eq 'done'", 11, "'done'", "the statuses are validating, failed, in_progress, finalizing,"),
        ("status gt 'failed'", 8, "gt", "eq and ne only"),
        ("endpoint le '/v1'", 10, "le", "eq and ne only"),
        ("metadata eq 'x'", 1, "metadata", "metadata/team, or metadata/'my team'"),
        ("metadata/ eq 'x'", 1, "metadata/", "metadata/team"),
        ("metadata/'' eq 'x'", 1, "metadata/", "metadata/team"),
        ("metadata/'team eq 5", 10, "'", "not closed"),
        ("metadata/team gt 'x'", 15, "gt", "eq and ne only"),
        ("metadata/team eq x", 18, "x", "a text in single quotes"),
        ("endpoint eq 5", 13, "5", "a text in single quotes"),
        ("created_at gt '1728773533'", 15, "'1728773533'", "whole seconds since 1970"),
        ("created_at gt 2024-10-12T00:00:00Z", 15, "2024-10-12T00:00:00Z", "not with the text of a date"),
        ("created_at gt '2024-10-12'", 15, "'2024-10-12'", "not with the text of a date"),
        ("created_at gt 1.5", 15, "1.5", "whole seconds"),
        ("created_at gt 1e9", 15, "1e9", "whole seconds"),
        ("created_at gt ٣", 15, "٣", "whole seconds"),
        ("created_at gt 9223372036854775808", 15, "9223372036854775808", "does not fit 64 bits"),
        ("created_at gt -9223372036854775809", 15, "-9223372036854775809", "does not fit 64 bits"),
    ],
)
def test_faults_in_filters(text: str, position: int, there: str, what: str) -> None:
    """The message has the position, counted from 1, the text there, and what to write instead."""
    with pytest.raises(InvalidRequest) as caught:
        conditions(text)
    shown = there if there == "the end" else f'"{there}"'
    assert f"Invalid '$filter' at character {position} (counted from 1), {shown}: " in caught.value.message
    assert what in caught.value.message
    assert caught.value.param == "$filter"


def test_bounds() -> None:
    """A filter has a longest text and a largest number of comparisons, and an error does not repeat a long text."""
    term = "created_at gt 1"
    assert len(conditions(" and ".join([term] * 32))) == 32
    with pytest.raises(InvalidRequest, match="at most 32 comparisons"):
        conditions(" and ".join([term] * 33))
    assert len(conditions(term.ljust(2_000))) == 1
    with pytest.raises(InvalidRequest, match="it has 2,001 characters, and at most 2,000 are read"):
        conditions(term.ljust(2_001))
    with pytest.raises(InvalidRequest) as caught:
        conditions("created_at gt " + "9" * 1_900)
    assert len(caught.value.message) < 200


def test_given_twice() -> None:
    """Half of what was asked for is never silently dropped."""
    with pytest.raises(InvalidRequest, match=r"'\$filter' may be given once"):
        read_query(["created_at gt 1", "created_at lt 2"], [])


@pytest.mark.parametrize(
    ("text", "field", "descending"),
    [
        ("created_at", Field.CREATED_AT, False),
        ("created_at asc", Field.CREATED_AT, False),
        (" Created_At  DESC ", Field.CREATED_AT, True),
        ("status desc", Field.STATUS, True),
        ("completed_at", Field.COMPLETED_AT, False),
    ],
)
def test_orders_that_are_read(text: str, field: Field, descending: bool) -> None:
    """One field, ascending where nothing is said."""
    assert ordering(text) == Ordering(field=field, descending=descending)


@pytest.mark.parametrize(
    ("text", "position", "there", "what"),
    [
        ("size", 1, "size", "one of the fields created_at, status, expires_at"),
        ("endpoint", 1, "endpoint", "one of the fields"),
        ("created_at up", 12, "up", "'asc', 'desc' or the end"),
        ("created_at asc desc", 16, "desc", "'asc', 'desc' or the end"),
        ("created_at, status", 11, ",", "ordered by one field"),
        ("created_at desc,status", 16, ",", "ordered by one field"),
        ("length(status)", 1, "length", "one of the fields"),
    ],
)
def test_faults_in_orders(text: str, position: int, there: str, what: str) -> None:
    """As in filters."""
    with pytest.raises(InvalidRequest) as caught:
        ordering(text)
    assert f"Invalid '$orderby' at character {position} (counted from 1), \"{there}\": " in caught.value.message
    assert what in caught.value.message
    assert caught.value.param == "$orderby"


def _condition(field: Field) -> st.SearchStrategy[Condition]:
    if field in NUMBERS:
        return st.builds(Condition, st.just(field), st.sampled_from(Operator), st.integers(INTEGER_LEAST, INTEGER_MOST))
    values = st.sampled_from(Status) if field is Field.STATUS else st.text(max_size=10)
    if field is Field.METADATA:
        operators = st.sampled_from(sorted(EQUALITY))
        return st.builds(Condition, st.just(field), operators, values, st.text(min_size=1, max_size=10))
    return st.builds(Condition, st.just(field), st.sampled_from(sorted(EQUALITY)), values)


CONDITIONS = st.sampled_from(Field).flatmap(_condition)
ORDERINGS = st.builds(Ordering, field=st.sampled_from(sorted(ORDERED)), descending=st.booleans())
QUERIES = st.builds(BatchQuery, conditions=st.lists(CONDITIONS, max_size=8).map(tuple), ordering=ORDERINGS)


def written(condition: Condition) -> str:
    """The text of a condition."""
    value = condition.value
    quoted = str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"
    key = "/'" + condition.key.replace("'", "''") + "'" if condition.key else ""
    return f"{condition.field.value}{key} {condition.operator.value} {quoted}"


# The first text of a process takes a second to draw.


@given(QUERIES)
def test_what_is_written_is_read_back(query: BatchQuery) -> None:
    """Every query has a text that means it, quotes and odd characters included."""
    text = " and ".join(written(condition) for condition in query.conditions)
    direction = "desc" if query.ordering.descending else "asc"
    assert read_query([text], [f"{query.ordering.field.value} {direction}"]) == query


WORDS = (
    *Field,
    "metadata/",
    "metadata/a",
    *Operator,
    "and",
    "or",
    "not",
    "'",
    "''",
    "(",
    ")",
    ",",
    "'completed'",
    "12",
    "-",
    "asc",
    "desc",
    " ",
)


@given(st.one_of(st.text(), st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join)))
def test_no_text_breaks_the_reader(text: str) -> None:
    """Whatever is asked is read or refused as the caller's fault."""
    for parameters in (([text], []), ([], [text])):
        with contextlib.suppress(InvalidRequest):
            assert isinstance(read_query(*parameters), BatchQuery)
