"""Whether a ledger belongs to the bytes beside it. Judged by a mark that both have: an identity, and a generation.

Each start raises the generation, and every few minutes a server that runs does, in the ledger first and in the data directory
second. So the two are the same, or the ledger is one ahead where it died in between. Everything else is another ledger than the
one that these bytes were last served with, and by that one's word nothing may go.
"""

from collections.abc import Callable, Collection
from enum import Enum

from msgspec import Struct


class Mark(Struct, frozen=True):
    """Which ledger, and how often it has been taken up. 0: never by a server."""

    identity: str
    generation: int


class Lack(Struct, frozen=True):
    """Keys of bytes that a ledger needs and that are not there, in order, and how many were looked at with them."""

    keys: list[str]
    looked: int


class Sample(Struct, frozen=True, kw_only=True):
    """Some of the bytes that a ledger names: their keys, and how many there are at least."""

    needed: dict[str, int] = {}
    """Of open batches: what they read, and what they have so far."""
    newest: dict[str, int] = {}
    """Files that came last."""

    def missing(self, size_of: Callable[[str], int], given_up: Collection[str] = ()) -> Lack | None:
        """What is gone that was not `given_up`; None where that is not too much. `size_of` a key: -1 where it is not there.

        One that an open batch needs is enough. Others may be damaged one by one: where all are gone, the place is wrong.
        """
        for some, enough in ((self.needed, 1), (self.newest, len(self.newest.keys() - given_up))):
            looked = {key: size for key, size in some.items() if key not in given_up}
            gone = sorted(key for key, size in looked.items() if size_of(key) < size)
            if gone and len(gone) >= enough:
                return Lack(gone, len(looked))
        return None


class Gone(Struct, frozen=True, kw_only=True):
    """Where a ledger is now that has moved to another kind of database."""

    place: str
    at: str
    """A moment in UTC, for people."""
    aside: str = ""
    """The file that the old one is, where it is one."""


# What an identity is called in a database whose ledger has moved away, or a store whose files have; and in a store to which files
# are on their way. No ledger has a name like that.
_GONE, _AT = "moved to ", " at "
_ARRIVING = "arriving for "


def name_of_gone(gone: Gone) -> str:
    """What stands in the place of the identity."""
    return f"{_GONE}{gone.place}{_AT}{gone.at}"


def gone_of_name(name: str) -> Gone | None:
    """The same read back; None where it is the name of a ledger that is there."""
    if not name.startswith(_GONE):
        return None
    place, _, at = name.removeprefix(_GONE).rpartition(_AT)
    return Gone(place=place, at=at)


def name_of_arriving(identity: str) -> str:
    """What stands in the place of the identity where files are on their way."""
    return f"{_ARRIVING}{identity}"


def identity_of_arriving(name: str) -> str | None:
    """Whose they are; None where it is the name of a ledger that is there."""
    return name.removeprefix(_ARRIVING) if name.startswith(_ARRIVING) else None


class Fit(Enum):
    """How a ledger and a data directory belong together."""

    FITS = "fits"
    NO_LEDGER = "no ledger"
    """It is missing or empty, and there are bytes, or there were."""
    OTHER = "other"
    OLDER = "older"
    YOUNGER = "younger"
    UNMARKED = "unmarked"
    """A ledger that has been served, and a directory that does not say which one it had."""
    ABSENT = "absent"
    """The same, and there are no bytes either: another place than the one that it had, or nothing is left of that."""
    WITHOUT_FILES = "without files"
    """The marks fit, and bytes that open batches need are not there, or none of those that came last."""


def fit_of(ledger: Mark | None, directory: Mark | None, *, empty: bool, bytes_there: bool, named: bool) -> Fit:
    """How they fit. `empty`: there is no ledger, or nothing is in it; without a mark it is of a schema that had none.

    `named`: it names bytes that should be there.
    """
    if empty:
        return Fit.NO_LEDGER if directory is not None or bytes_there else Fit.FITS
    if ledger is None:
        # As an older version left it, unless a newer one has been here since.
        return Fit.FITS if directory is None else Fit.OLDER
    if directory is None:
        # The first start may have died before it could mark the directory, and nothing was written by then.
        if ledger.generation > 1:
            return Fit.UNMARKED if bytes_there else Fit.ABSENT
        return Fit.ABSENT if named and not bytes_there else Fit.FITS
    if ledger.identity != directory.identity:
        return Fit.OTHER
    if ledger.generation < directory.generation:
        return Fit.OLDER
    return Fit.FITS if ledger.generation <= directory.generation + 1 else Fit.YOUNGER
