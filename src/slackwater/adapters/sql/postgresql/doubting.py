"""Somebody who is no member has heard that one has ended, and asks it whether it lives."""

from slackwater.adapters.sql.postgresql.looking import asked_of
from slackwater.adapters.sql.postgresql.member_statements import DOUBT
from slackwater.core.members import DOUBTED_SECONDS


def doubt(address: str, member: str) -> bool:
    """From now on it is believed for `DOUBTED_SECONDS` more, unless it says that it lives; False where it is no member.

    Nothing else happens to it here: whoever watches over members buries it, as it does everybody who is not believed any more.
    Raises LedgerUnavailable and LedgerRefused.
    """
    return asked_of(address, lambda db: bool(db.execute(DOUBT, (DOUBTED_SECONDS, member)).rowcount))
