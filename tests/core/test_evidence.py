"""What one answer says by itself, before anything is compared: each row of the table."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.errors import BackendError, BackendReplyBroken, BackendTimeout, BackendUnreachable
from slackwater.core.sending.evidence import (
    BLOCKED_SECONDS,
    REASON_LENGTH_MAX,
    Kind,
    evidence_of,
    evidence_of_error,
    words_of,
)


def error(code: str = "", message: str = "no", kind: str = "") -> bytes:
    """An error body as OpenAI writes them."""
    return json.dumps({"error": {"code": code or None, "type": kind or None, "message": message}}).encode()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Kind.OWN),
        (406, Kind.OWN),
        (410, Kind.OWN),
        (413, Kind.OWN),
        (415, Kind.OWN),
        (422, Kind.OWN),
        (451, Kind.OWN),
        (401, Kind.REFUSED),
        (403, Kind.REFUSED),
        (404, Kind.REFUSED),
        (405, Kind.REFUSED),
        (407, Kind.REFUSED),
        (301, Kind.REFUSED),
        (302, Kind.REFUSED),
        (308, Kind.REFUSED),
        (402, Kind.BLOCKED),
        (429, Kind.BUSY),
        (529, Kind.BUSY),
        (408, Kind.TROUBLE),
        (409, Kind.TROUBLE),
        (425, Kind.TROUBLE),
        (500, Kind.TROUBLE),
        (501, Kind.TROUBLE),
        (502, Kind.TROUBLE),
        (503, Kind.TROUBLE),
        (504, Kind.TROUBLE),
        (599, Kind.TROUBLE),
    ],
)
def test_a_status_without_a_word(status: int, kind: Kind) -> None:
    """The status alone says whose trouble it may be: the request's, the way's, the account's, the moment's, or unclear."""
    said = evidence_of(status, b"", retry_after=None)
    assert (said.kind, said.wait) == (kind, None)
    assert str(status) in said.reason


@pytest.mark.parametrize(("status", "dropped"), [(429, False), (503, False), (529, False), (503, True)])
def test_a_wait_that_is_asked_for_is_kept(status: int, dropped: bool) -> None:
    """Busy until a moment, and not broken. A wait of nothing, or until a moment that is past, is none."""
    for wait in (0.5, 7.0, BLOCKED_SECONDS - 1):
        said = evidence_of(status, b"", retry_after=wait, dropped=dropped)
        assert (said.kind, said.wait) == (Kind.BUSY, wait)
    said = evidence_of(status, b"", retry_after=0.0, dropped=dropped)
    assert (said.kind, said.wait) == (Kind.BUSY, None)


def test_what_a_router_dropped_is_busy() -> None:
    """503 without a wait is trouble, unless a router in front of the engine says that it let the request fall."""
    assert evidence_of(503, b"", retry_after=None, dropped=True).kind is Kind.BUSY
    assert evidence_of(503, b"", retry_after=None).kind is Kind.TROUBLE


@pytest.mark.parametrize("status", [500, 502, 504])
def test_trouble_may_ask_for_a_wait(status: int) -> None:
    """It stays trouble, and the wait is known."""
    said = evidence_of(status, b"", retry_after=3.0)
    assert (said.kind, said.wait) == (Kind.TROUBLE, 3.0)


@pytest.mark.parametrize(
    "body",
    [
        error("insufficient_quota"),
        error(kind="insufficient_quota"),
        error("billing_hard_limit_reached"),
        error("billing_not_active"),
        error(kind="exceeded_current_quota_error"),
        error("account_deactivated"),
        error("insufficient_credits"),
        error("PAYMENT_REQUIRED"),
    ],
)
def test_an_account_that_may_not_go_on_is_blocked(body: bytes) -> None:
    """By what vendors say in code or type; what the message says in prose does not count."""
    assert evidence_of(429, body, retry_after=None).kind is Kind.BLOCKED
    assert evidence_of(429, body, retry_after=1.0).wait == 1.0


def test_a_message_about_money_is_no_code() -> None:
    """A request may be about billing, and its error may repeat its words."""
    assert evidence_of(429, error("rate_limit", message="billing credit payment"), retry_after=None).kind is Kind.BUSY


def test_a_wait_of_hours_is_a_block() -> None:
    """Who asks for so much time is not busy for a moment."""
    said = evidence_of(429, b"", retry_after=BLOCKED_SECONDS)
    assert (said.kind, said.wait) == (Kind.BLOCKED, BLOCKED_SECONDS)


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (BackendUnreachable("refused", sent=False), Kind.UNREACHED),
        (BackendError("no room", sent=False), Kind.UNREACHED),
        (BackendUnreachable("broke off while sending"), Kind.LOST),
        (BackendReplyBroken("ended inside the answer", lost=True), Kind.LOST),
        (BackendReplyBroken("no HTTP"), Kind.TROUBLE),
        (BackendTimeout("late"), Kind.TROUBLE),
        (BackendError("something"), Kind.TROUBLE),
    ],
)
def test_a_call_without_an_answer(failure: BackendError, kind: Kind) -> None:
    """What was not sent cost nothing; a connection that broke is what a dying engine does; the rest is trouble."""
    said = evidence_of_error(failure)
    assert (said.kind, said.wait) == (kind, None)
    assert said.reason == str(failure)


@pytest.mark.parametrize(
    ("body", "codes", "message"),
    [
        (b'{"error":{"code":"a","type":"b","message":"c"}}', "a b", "c"),
        (b'{"error":{"code":404,"message":"c"}}', "404 ", "c"),
        (b'{"error":"c"}', "", "c"),
        (b'{"message":"c"}', "", "c"),
        (b'{"object":"error","message":"c","code":40403}', "", "c"),
        (b'{"detail":[]}', "", ""),
        (b"<html>", "", ""),
        (b"", "", ""),
        (b"\xff\xfe", "", ""),
        (b'{"error":{"code":[]}}', "", ""),
        (b"[" * 100_000, "", ""),
        (b'{"error":{"message":"' + b"x" * 100_000 + b'"}}', "", ""),
    ],
)
def test_words_of_error_bodies(body: bytes, codes: str, message: str) -> None:
    """In the shapes that servers use; everything else has no words, and harms nobody."""
    assert (words_of(body).codes, words_of(body).message) == (codes, message)


@given(st.integers(300, 999), st.binary(max_size=300), st.none() | st.floats(0, 1e9), st.booleans())
def test_anything_says_something(status: int, body: bytes, wait: float | None, dropped: bool) -> None:
    """Whatever comes is evidence of one kind, never a success, with a reason of bounded length."""
    said = evidence_of(status, body, retry_after=wait, dropped=dropped)
    assert said.kind not in (Kind.SUCCESS, Kind.LOST, Kind.UNREACHED)
    assert 0 < len(said.reason) <= REASON_LENGTH_MAX


def test_an_error_inside_says_how_it_came() -> None:
    """In the log of the engine it was a success; what it counts as is for us."""
    body = b'{"error":{"code":"server_error","message":"out of memory"}}'
    evidence = evidence_of(500, body, retry_after=None, came=200)
    assert evidence.reason == "status 200 with an error inside (server_error: out of memory)"
    assert (evidence.kind, evidence.status) == (Kind.TROUBLE, 500)
    assert evidence_of(401, b"{}", retry_after=None, came=200).reason == "status 200 with an error inside"


def test_a_long_error_has_a_short_reason() -> None:
    """Operators read it on one line."""
    assert len(evidence_of_error(BackendTimeout("x" * 10_000)).reason) == REASON_LENGTH_MAX
    said = evidence_of(500, error(message="x" * 10_000), retry_after=None).reason
    assert REASON_LENGTH_MAX - 20 < len(said) <= REASON_LENGTH_MAX


def test_a_model_that_is_not_there() -> None:
    """A router's 400 for a name that it does not know is no more the line's own than an engine's 404; its other 400s are."""
    gone = b'{"error": {"message": "Invalid model name", "type": "invalid_request_error", "code": "model_not_found"}}'
    assert evidence_of(400, gone, retry_after=None).kind is Kind.REFUSED
    for body in (
        b'{"error": {"message": "model_not_found", "code": "invalid_value"}}',
        b'{"error": "model_not_found"}',
        b"",
    ):
        assert evidence_of(400, body, retry_after=None).kind is Kind.OWN
