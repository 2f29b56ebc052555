"""For how long a database cannot be used, by what those say who use it."""

import time

import psycopg

from slackwater.adapters.sql.postgresql.absence import SILENT, Absence
from slackwater.adapters.sql.postgresql.line import unavailable
from slackwater.core.errors import LedgerUnavailable


def test_it_is_away_for_as_long_as_anybody_cannot_use_it() -> None:
    """By the first who could not, with what the last try of theirs has met; that one was made a moment ago says nothing."""
    absence, now = Absence(), time.monotonic()
    assert absence.now is None
    absence.failed("member", psycopg.OperationalError("refused"), since=now - 20)
    absence.failed("member", psycopg.OperationalError("still refused"), since=now - 2)
    absence.failed("member", LedgerUnavailable("it has been tried a moment ago"), since=now - 1)
    absence.failed("reads", LedgerUnavailable("the ledger cannot be reached"), since=now - 9)
    away = absence.now
    assert away is not None
    assert 20 <= away.seconds < 60
    assert "still refused" in away.why
    absence.worked("member")
    away = absence.now
    assert away is not None
    assert (9 <= away.seconds < 19, away.why) == (True, "the ledger cannot be reached")
    absence.worked("reads")
    absence.worked("writer")
    assert absence.now is None


def test_a_moment_is_no_absence() -> None:
    """A connection that is lost and back, and an answer that takes its time. One that does not come is silence."""
    absence, now = Absence(), time.monotonic()
    absence.failed("member", psycopg.OperationalError("lost"), since=now + 60)
    absence.asked = now + 60
    assert absence.now is None
    absence.asked = now - 30
    away = absence.now
    assert away is not None
    assert (away.seconds >= 30, away.why) == (True, SILENT)


def test_who_is_slow_is_not_alone() -> None:
    """The database has ended a connection, for it waited for us: it is there. What was known before that stays known."""
    absence, since = Absence(), time.monotonic() - 20
    slow = psycopg.errors.IdleInTransactionSessionTimeout("terminating connection due to idle-in-transaction timeout")
    given_up = unavailable(slow)
    given_up.__cause__ = slow
    for error in (slow, given_up):
        absence.failed("writer", error, since=since)
        assert absence.now is None
    absence.failed("writer", psycopg.OperationalError("refused"), since=since)
    absence.failed("writer", slow, since=since)
    away = absence.now
    assert away is not None
    assert "refused" in away.why


def test_no_secret_is_told() -> None:
    """Whatever a library says of an address."""
    absence = Absence()
    absence.failed("reads", psycopg.OperationalError("no postgresql://r:hunter2@db/x"), since=time.monotonic() - 5)
    away = absence.now
    assert away is not None
    assert "hunter2" not in away.why
