"""What the ledger knows of accounts: what completed work has used, and who did what."""

from collections.abc import Collection
from typing import Protocol

from slackwater.core.accounts.cost import GroupBy, UsageEntry
from slackwater.ports.records import AuditEntry, AuditSearch, FileCounts


class AccountLedger(Protocol):
    """The part of the ledger that concerns accounts. What journals results adds to usage, in the same transaction."""

    async def usage(
        self, *, resource: str | None, first_day: int, last_day: int, by: Collection[GroupBy], limit: int
    ) -> list[UsageEntry]:
        """What was completed on these days, summed over what is not in `by`; entries of different prices stay apart.

        The order is that of `GroupBy`, days first. Without a resource, all of them. Raises InvalidRequest where too many
        entries would have to be looked at.
        """
        ...

    async def file_counts(self, resource: str) -> FileCounts: ...
    async def add_audit(self, entry: AuditEntry, *, durable: bool = True) -> None:
        """Adds an entry behind all others, under a number of its own. Where it is not `durable`, a power cut may take it until
        the next thing is."""
        ...

    async def audit(
        self,
        *,
        resource: str | None,
        after: int | None = None,
        limit: int,
        descending: bool = False,
        search: AuditSearch | None = None,
    ) -> list[AuditEntry]:
        """The next entries behind the number `after`, oldest first or, `descending`, newest first.

        Without a resource, those of all. A search takes no account of the case of the letters of ASCII; it raises
        InvalidRequest where too many entries would have to be looked at.
        """
        ...

    async def trim_audit(self, *, before: int, limit: int) -> int:
        """Of the `limit` oldest entries, forgets those of before that moment; returns how many. Numbers never come again."""
        ...
