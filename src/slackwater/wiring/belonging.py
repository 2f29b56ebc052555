"""Lets a ledger be opened only where it belongs to the bytes beside it, and marks both at each start."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from slackwater.adapters.disk.data_directory import DataDirectory, bytes_in, given_up_in, mark_in, refuse_gone, size_in
from slackwater.adapters.sql.clock import DatabaseClock
from slackwater.adapters.sql.identity import Found, find
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.errors import DataDirectoryError, StorageTrouble
from slackwater.core.files.belonging import Fit, Lack, Mark, fit_of
from slackwater.core.masking import shown_url
from slackwater.core.members import UNTIL_SECONDS, YOUNG_SECONDS, Member
from slackwater.pipeline.loops import Pace
from slackwater.telemetry import event

# How long a shared folder may take to show a server what another one has written there.
APART_SECONDS = 10.0
# Whoever has ended without a word is no member any more after this: it is not believed for longer, and a database that was away
# gives everybody some seconds.
UNLOCKED_SECONDS = UNTIL_SECONDS + 2 * YOUNG_SECONDS
# Words of members that never became one, or ended without a word, go when they are so old.
FORGOTTEN_SECONDS = 86_400.0
# Looks at a mark that others are changing. They do it once in some minutes.
LOOKS_MAX = 5
# How often, and how far apart, somebody who knows that the ledger has lost something tries to have the mark for itself.
BEHIND_TRIES, BEHIND_GAP_SECONDS = 30, 0.1
# How often a server that runs does it.
MARKED_SECONDS = 300.0

# Why a ledger is refused. What may be done about it is the same for all.
WORDS = {
    Fit.NO_LEDGER: "{ledger} is missing or empty, and {data} has the files of one",
    Fit.OTHER: "{ledger} is another ledger than the one that the files in {data} belong to",
    Fit.OLDER: "{ledger} is older than the files in {data}: they were served with a later state of it",
    Fit.YOUNGER: "the files in {data} are older than {ledger}: it was served elsewhere since",
    Fit.UNMARKED: "nothing in {data} says that its files belong to {ledger} (slackwater.mark is missing or damaged)",
    Fit.WITHOUT_FILES: (
        "{data} has the mark of {ledger}, and lacks files that it needs{such}: it was emptied, or put back in part"
    ),
    Fit.ABSENT: "nothing in {data} belongs to {ledger}, which has been served: there is no slackwater.mark, and no file",
}
REMEDY = (
    "nothing was changed: put back the one that belongs there, or restore a back-up into a new directory with 'slackwater "
    "restore'; 'slackwater recover --data {data}' says what it would mean to go on with what is there"
)

ABSENT = (
    "nothing was done: is it mounted, and is it the right one ([server] data, --data)? See to that and start again. Where its "
    "files are gone for good, put a back-up of them there; without one, 'slackwater recover {command} says what it would mean to "
    "go on without them"
)


def remedy_of(fit: Fit, data: Path, database: str = "") -> str:
    """What to do where a ledger and files do not belong together."""
    if fit in (Fit.ABSENT, Fit.WITHOUT_FILES):
        return ABSENT.format(command=_command(data, database))
    if not database:
        return REMEDY.format(data=data)
    return (
        "nothing was changed: name the database that belongs there, or put a back-up of it back (see 'Back-ups' in "
        "docs/postgresql.md); 'slackwater recover --config FILE', with this configuration, says what it would mean to go on with "
        "what is there"
    )


def _command(data: Path, database: str) -> str:
    """Which server it is, at the end of a command that is quoted."""
    return "--config FILE', with this configuration," if database else f"--data {data}'"


def open_ledger(data: DataDirectory, database: str, *, alone: bool = False, member: Member | None = None) -> SqlLedger:
    """The ledger of a data directory, or that at `database`: `alone`, where no server has it, or as one of its members."""
    return SqlLedger.connect(database, alone=alone, member=member) if database else SqlLedger.open(data.ledger_path)


def ledger_to_look_at(path: Path, database: str) -> SqlLedger:
    """The same only to read, also while a server has it."""
    if database:
        return SqlLedger.connect(database, read_only=True)
    refuse_gone(path)
    return SqlLedger.look(DataDirectory.ledger_in(path))


def fault_of(fit: Fit, path: Path, database: str = "", *, files: str = "", found: Found | None = None) -> str | None:
    """Why a data directory, or a store with its files, is refused, without what to do about it; None where it is not.

    With what was `found`, what is missing has a name.
    """
    words = WORDS.get(fit)
    ledger = f"the ledger {shown_url(database)}" if database else DataDirectory.ledger_in(path)
    lack = _lack(path, found) if found is not None and fit is Fit.WITHOUT_FILES else None
    such = "" if lack is None else f", such as {lack.keys[0]} ({len(lack.keys)} of {lack.looked} looked at)"
    return None if words is None else words.format(ledger=ledger, data=files or path, such=such)


def refusal_of(fit: Fit, found: Found, path: Path, database: str = "") -> str | None:
    """The same with what to do about it, for whoever has not asked `slackwater doctor`."""
    fault = fault_of(fit, path, database, found=found)
    if fault is None:
        return None
    doctor = (
        f"; 'slackwater doctor {_command(path, database)} names all that is missing" if fit is Fit.WITHOUT_FILES else ""
    )
    return f"{fault}; {remedy_of(fit, path, database)}{doctor}"


def look(path: Path, database: str = "", *, files: str = "") -> tuple[Fit, Found, Mark | None]:
    """How the ledger of a data directory belongs to its bytes, and both marks. Changes nothing.

    `database` is the address of a ledger that is not in the directory, `files` that of a store with the files: a directory may
    be new then, and what the store has is looked at in wiring/files.py. Raises DataDirectoryError, and LedgerUnavailable.
    """
    embedded = DataDirectory.ledger_in(path)
    if database and embedded.exists():
        raise DataDirectoryError(
            f"{path} has a ledger of its own ({embedded.name}), and the configuration names a database: take [server] database "
            "out of the configuration where that ledger counts (after 'slackwater migrate-data --to embedded' it does), move it "
            "to the database with 'slackwater migrate-data --to postgresql', or name another data directory"
        )
    if not database:
        refuse_gone(path)
    mark, tries = mark_in(path), 0
    while True:
        bytes_there = bytes_in(path)
        found = SqlLedger.found_at(database) if database else find(embedded)
        fit = fit_of(found.mark, mark, empty=found.empty, bytes_there=bytes_there, named=found.named)
        if fit is Fit.ABSENT and (files or DataDirectory.files_of(path)):
            fit = Fit.FITS
        before, mark, tries = mark, mark_in(path), tries + 1
        # The ledger is raised before the mark, by whichever server does it. So it was never behind the mark of a moment before,
        # and is no more than one ahead of that of a moment later.
        if fit is Fit.YOUNGER and fit_of(found.mark, mark, empty=False, bytes_there=True, named=found.named) in (
            Fit.FITS,
            Fit.OLDER,
        ):
            fit = Fit.FITS
        if fit is Fit.FITS and not (files or DataDirectory.files_of(path)) and _lack(path, found):
            # Another server may have ended a batch in between: what the ledger still names now has to be there.
            found = SqlLedger.found_at(database) if database else find(embedded)
            fit = Fit.WITHOUT_FILES if _lack(path, found) else fit
        if fit in (Fit.FITS, Fit.WITHOUT_FILES) or mark == before or tries == LOOKS_MAX:
            return fit, found, mark


def _lack(path: Path, found: Found) -> Lack | None:
    return found.sample.missing(lambda key: size_in(path, key), given_up_in(path))


def refuse_strangers(path: Path, database: str = "", *, files: str = "") -> Found:
    """What the ledger is. `database` and `files` are as `look` has them.

    Raises DataDirectoryError where it does not belong to the bytes, or is damaged, before anything is written.
    """
    fit, found, mark = look(path, database, files=files)
    refusal = refusal_of(fit, found, path, database)
    if refusal is not None:
        event(
            "ledger_refused",
            level=logging.ERROR,
            fit=fit.value,
            ledger_generation=found.mark and found.mark.generation,
            files_generation=mark and mark.generation,
        )
        raise DataDirectoryError(refusal)
    return found


async def refuse_apart(ledger: SqlLedger, data: DataDirectory, me: str) -> None:
    """Raises DataDirectoryError where another member of the ledger has another directory than this one, or its lock is not seen.

    Each leaves word in its directory before it is a member, with a lock on it. Those of members that are no more go.
    """
    since, words = time.monotonic(), data.announcements
    while True:
        # First who has left word, then who is a member: whoever is one has left word before.
        there = await asyncio.to_thread(words.announced)
        members = await ledger.members()
        others = [each for each in members if each.id != me and not each.dead]
        apart = [each for each in others if each.id not in there]
        unlocked = [each for each in others if await asyncio.to_thread(words.locked, each.id) is False]
        if not apart and not unlocked:
            break
        # Whoever has ended without a word is a member until somebody has noticed that.
        if apart and time.monotonic() - since > APART_SECONDS:
            raise DataDirectoryError(
                f"{data.path} is not the data directory of the other servers that work with this ledger, such as the one on "
                f"{apart[0].host}: name theirs, which has to be one folder for all of them"
            )
        if unlocked and time.monotonic() - since > UNLOCKED_SECONDS:
            raise DataDirectoryError(
                f"the lock of the server on {unlocked[0].host} is not seen in {data.path}: this is a copy of its data directory, "
                "or each machine there has locks of its own (NFS with nolock or local_lock); name the same folder, on a file "
                "system with flock over all machines (see docs/shared-directory.md)"
            )
        await asyncio.sleep(0.1)
    for name in words.strays({each.id for each in await ledger.members()} | {me}):
        # Somebody who has left word a moment ago may be about to become a member.
        with contextlib.suppress(OSError):
            if time.time() - words.left_at(name) > FORGOTTEN_SECONDS:
                words.remove(name)


class Marked(Protocol):
    """Where blobs lie that are not in the data directory, and have a mark of their own."""

    async def mark(self) -> bytes | None:
        """What was written last."""
        ...

    async def write_mark(self, data: bytes) -> None:
        """Durably."""
        ...


async def take_up(ledger: SqlLedger, data: DataDirectory, store: Marked | None = None) -> None:
    """Raises the generation for this start, unless there are others who do."""
    mark = None if await ledger.others() else await _raised(ledger, data, store)
    if mark is not None:
        event("ledger_taken_up", identity=mark.identity, generation=mark.generation)


async def _raised(ledger: SqlLedger, data: DataDirectory, store: Marked | None) -> Mark | None:
    """Raises the generation, in the ledger first. On a full disk it stays what it was, and None comes back."""
    try:
        with data.marking() as mine:
            return await _raised_alone(ledger, data, store) if mine else None
    except (StorageTrouble, OSError) as error:
        event("generation_not_raised", level=logging.WARNING, error=repr(error))
        return None


async def _raised_alone(ledger: SqlLedger, data: DataDirectory, store: Marked | None) -> Mark | None:
    before, there = await ledger.mark(), mark_in(data.path)
    if there is not None and there.identity == before.identity and there.generation > before.generation:
        # Somebody knows that the ledger has lost something. Nobody starts with it until it is said that it counts.
        event("ledger_behind", level=logging.ERROR, generation=before.generation, files=there.generation)
        return None
    if store is not None and before.generation and await store.mark() != msgspec.json.encode(before):
        await store.write_mark(msgspec.json.encode(before))
    if there != before and before.generation:
        # It ended between the two once. Another step on would look like another ledger.
        await asyncio.to_thread(data.write_mark, before)
    mark = await ledger.raise_generation()
    await asyncio.to_thread(data.write_mark, mark)
    if store is not None:
        await store.write_mark(msgspec.json.encode(mark))
    return mark


def mark_behind(data: DataDirectory) -> None:
    """Lets nobody start with the ledger of a data directory: it has lost what it had confirmed."""
    for attempt in range(BEHIND_TRIES):
        with data.marking() as mine:
            mark = mark_in(data.path)
            # Whoever raises it at the moment would write over ours. One that was stopped while it did is not waited for.
            if mark is not None and (mine or attempt + 1 == BEHIND_TRIES):
                # The ledger may be one ahead of the directory, where a server has died in between.
                data.write_mark(Mark(mark.identity, mark.generation + 2))
            if mark is None or mine:
                return
        time.sleep(BEHIND_GAP_SECONDS)


class Marking:
    """Raises the generation now and then while a server runs: a copy of the ledger from before that is known to be older."""

    def __init__(
        self,
        ledger: SqlLedger,
        data: DataDirectory,
        clock: DatabaseClock | None = None,
        *,
        store: Marked | None = None,
        mine: Callable[[], bool] = lambda: True,
    ) -> None:
        """`clock` is looked at each time, where the time of day is the database's. `mine`: whether this server does it now."""
        self._mine = mine
        self._store = store
        self._ledger = ledger
        self._clock = clock
        self._data = data
        self._begun = False

    async def step(self) -> Pace:
        """The first one has been done by the start."""
        if self._clock is not None:
            await self._clock.look()
        if self._begun and self._mine():
            await _raised(self._ledger, self._data, self._store)
        self._begun = True
        return Pace.IDLE
