"""Refusals in a row: what counts, and what breaks the row."""

import math

import pytest

from slackwater.core.sending.evidence import Evidence, Kind, evidence_of
from slackwater.core.sending.refusals import Refusals

WRONG_KEY = evidence_of(401, b"", retry_after=None)
NOT_THERE = evidence_of(404, b"", retry_after=None)
NO_MONEY = evidence_of(402, b"", retry_after=None)
PAGE = Evidence(Kind.TROUBLE, "status 200: no JSON object", None, 200)
BROKEN = evidence_of(500, b"", retry_after=None)


def row(*said: Evidence, succeeded: float = -math.inf) -> tuple[Evidence, int] | None:
    """One call a second, from 1 on."""
    refusals = Refusals()
    for now, evidence in enumerate(said, 1):
        refusals.heard(evidence, succeeded=succeeded if succeeded < now else -math.inf, now=now)
    return refusals.in_a_row(succeeded=succeeded)


@pytest.mark.parametrize("evidence", [WRONG_KEY, NOT_THERE, NO_MONEY, PAGE])
def test_those_that_are_alike_are_counted(evidence: Evidence) -> None:
    """Each kind that lets nobody in; who is busy or broken between them changes nothing."""
    assert row(evidence, BROKEN, evidence, evidence) == (evidence, 3)


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_what_is_no_refusal_does_not_count(status: int) -> None:
    """A server that is busy or broken has not refused anybody."""
    assert row(evidence_of(status, b"", retry_after=1.0)) is None


def test_another_refusal_begins_anew() -> None:
    """The row is of one kind and one status, and the last one counts."""
    assert row(WRONG_KEY, WRONG_KEY, NOT_THERE) == (NOT_THERE, 1)
    assert row(WRONG_KEY, evidence_of(403, b"", retry_after=None)) is not None
    assert row(WRONG_KEY, evidence_of(403, b"", retry_after=None))[1] == 1  # type: ignore[index]


def test_a_success_ends_the_row() -> None:
    """Whether it came between two of them or after the last one."""
    assert row(WRONG_KEY, WRONG_KEY, WRONG_KEY, succeeded=2.5) == (WRONG_KEY, 1)
    assert row(WRONG_KEY, WRONG_KEY, succeeded=3.0) is None


def test_a_fault_found_with_the_request_ends_the_row() -> None:
    """Who answers 400 has let it in."""
    assert row(NOT_THERE, NOT_THERE, evidence_of(400, b"", retry_after=None)) is None


def test_words_do_not_matter() -> None:
    """Servers write an id of the request into the message: two of them are alike all the same."""
    one = evidence_of(401, b'{"error": {"message": "wrong key, request 1"}}', retry_after=None)
    other = evidence_of(401, b'{"error": {"message": "wrong key, request 2"}}', retry_after=None)
    assert row(one, other) == (other, 2)
