"""What the ledger asks of a database, whichever it is: connections that run a statement, and where a work runs.

A *work* is a function of a connection. It does nothing but ask it, because it may be run again: alone where it shared a
transaction, or anew where its transaction met another one or lost its connection.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from slackwater.ports import Away, Presence

T = TypeVar("T")
Values = Sequence[Any] | Mapping[str, Any]


class SearchTooLong(Exception):
    """A search would look at more rows than its bound allows. It has changed nothing."""


class Row(Protocol):
    """A row: its values in order, and by the name or the number of their column."""

    def __getitem__(self, column: Any, /) -> Any: ...
    def __iter__(self) -> Iterator[Any]: ...
    def keys(self) -> list[str]: ...


class Cursor(Protocol):
    """What came of a statement: rows, or how many it changed."""

    @property
    def rowcount(self) -> int: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...


class Db(Protocol):
    """A connection. Parameters are `:name` with a mapping, or `?` with a sequence."""

    def execute(self, text: str, values: Values = ..., /) -> Cursor: ...
    def executemany(self, text: str, values: Sequence[Sequence[Any]], /) -> Cursor: ...


class Database(Protocol):
    """Where a work runs. None of the methods holds up the event loop for longer than a point read of an embedded database."""

    damaged: bool
    """Whether something was read that is not what was written. It stays so: no second try helps."""

    @property
    def refuses_writes(self) -> bool:
        """Whether the last write failed for a reason that is the database's or the disk's; that it is `away` is said there."""
        ...

    @property
    def away(self) -> Away | None:
        """That the database cannot be used, where that has lasted for a moment. Asks nobody, and may be asked by any thread."""
        ...

    @property
    def presence(self) -> Presence | None:
        """That this process is a member, where it is one."""
        ...

    def text(self, name: str) -> str:
        """The statement of that name."""
        ...

    def saw(self, error: Exception) -> None:
        """Notes an error that somebody has had with it."""
        ...

    async def look(self, work: Callable[[Db], T]) -> T:
        """Runs short reads. Each statement sees what was committed when it began."""
        ...

    async def read(self, work: Callable[[Db], T]) -> T:
        """Runs longer reads, all on one state of the database."""
        ...

    async def search(self, work: Callable[[Db], T]) -> T:
        """Runs reads that may look at many rows, all on one state of the database. Raises SearchTooLong."""
        ...

    async def write(self, work: Callable[[Db], T], *, durable: bool = True, fenced: bool = False) -> T:
        """Runs `work` in one transaction, as if no other ran beside it. Its outcome is known, also to a caller that is cancelled.

        One that is not `durable` waits for no disk. It survives the end of this process; a power cut may take it back, but
        never without all that was written after it. One that is `fenced` locks whatever it decides by, or names its epoch: it
        may run beside others.
        """
        ...

    @property
    def writes_alone(self) -> bool:
        """Whether it has statements that are a transaction each."""
        ...

    async def write_alone(self, name: str, values: Mapping[str, Any], *, again: str) -> list[Row]:
        """Runs the statement of that name, which is a fenced transaction of its own and waits for no disk; returns its rows.

        Where its answer was lost and it counts, they are those of the statement `again`, of the same values.
        """
        ...

    async def try_write(self) -> None:
        """Writes something that means nothing. Raises what a write raises; else the database refuses no more."""
        ...

    async def give_back_pages(self, limit: int) -> int:
        """Gives room that is not used back to the disk, at most so many pages; returns how many."""
        ...

    async def close(self) -> None:
        """Waits for what is being written and closes everything."""
        ...
