"""The door to what is kept for some time only."""

from typing import Protocol

from slackwater.core.files.file import File, Purpose
from slackwater.core.files.retention import Kept, Rule


class RetentionLedger(Protocol):
    """The part of the ledger that forgets by age."""

    async def retention_rules(self) -> dict[tuple[str, Kept], Rule]:
        """Every rule, by its resource and what it is about."""
        ...

    async def set_rule(self, resource: str, kept: Kept, rule: Rule | None) -> None:
        """From now on this rule is in force; None: there is none."""
        ...

    async def forget_batches(self, resource: str, *, ended_before: int, limit: int) -> list[str]:
        """Removes the rows of the batches that ended first, and what hangs on them; returns their ids. Files stay."""
        ...

    async def forget_files(self, resource: str, purpose: Purpose, *, created_before: int, limit: int) -> list[File]:
        """Removes the rows of the oldest files of a purpose and returns them, but those that an open batch reads."""
        ...

    async def blob_in_use(self, key: str) -> bool:
        """Whether a file or a batch that has not ended still needs these bytes."""
        ...

    async def give_back_pages(self, limit: int) -> int:
        """Gives at most so many unused pages back to the disk; returns how many. None while few are unused."""
        ...
