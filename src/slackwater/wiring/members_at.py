"""Who works with a ledger on PostgreSQL, for those who are no member of it: the database alone is asked, and told."""

from collections.abc import Collection
from pathlib import Path

from msgspec import Struct

from slackwater import __version__
from slackwater.adapters.sql.identity import ServerFound
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.sql.sqlite import SCHEMA_VERSION
from slackwater.config import database_in
from slackwater.core.errors import DataDirectoryError, LedgerRefused, StorageTrouble
from slackwater.core.members import all_named
from slackwater.core.watching.cluster import Concern, MemberView, concerns_of, member_views
from slackwater.pipeline.watching.standings import Words

# What a member says of itself: during an upgrade the schema is what tells the old ones from the new ones, whatever their version.
OWN_VERSION = f"{__version__} (schema {SCHEMA_VERSION})"


class MembersFound(Struct, frozen=True, kw_only=True):
    """All members, the oldest first, and what is wrong with them together."""

    views: list[MemberView]
    concerns: list[Concern]


def members_in(found: ServerFound, *, deployments: Collection[str] = ()) -> MembersFound:
    """Those of a ledger that was looked at. `deployments` are the keys of those that somebody has to send for."""
    views = member_views(found.cluster, Words().meant(found.said))
    return MembersFound(views=views, concerns=concerns_of(views, deployments=deployments))


def members_at(address: str, *, deployments: Collection[str] = ()) -> MembersFound:
    """The same of the ledger at an address. Raises LedgerUnavailable, and LedgerRefused where it is of another version."""
    found = SqlLedger.found_at(address)
    if not found.empty and found.schema != SCHEMA_VERSION:
        raise LedgerRefused(
            f"the ledger is of another version of Slackwater (schema {found.schema}; this version knows {SCHEMA_VERSION}): use "
            "the version that serves it"
        )
    return members_in(SqlLedger.server_of(address), deployments=deployments)


def in_use_by(address: str) -> str:
    """Why what belongs to the ledger at an address is not free: who works with it; empty where nobody can tell."""
    try:
        found = SqlLedger.server_of(address).cluster if address else None
    except (StorageTrouble, DataDirectoryError):
        return ""
    those = "" if found is None else all_named(found.members, now=found.now)
    return f"the ledger is in use by {those}: stop all of them first" if those else ""


def doubt_in(config: str, member: str) -> bool:
    """Asks a member whether it lives, of the ledger that a configuration file names; False where it is none.

    Raises ConfigError, LedgerUnavailable and LedgerRefused.
    """
    from slackwater.adapters.sql.postgresql.doubting import doubt

    return doubt(database_in(Path(config)), member)
