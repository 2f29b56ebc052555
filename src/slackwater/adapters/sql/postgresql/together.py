"""What servers on one PostgreSQL tell each other: numbers of what has changed, hints, and how each of them gets on.

Numbers and hints are made by triggers, in the transaction that changes something (migrations/postgresql/0028_together.sql). The
connection that listens is read on the event loop, and its loss is only noted: somebody asks for another one now and then.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence

import psycopg

from slackwater.adapters.sql.db import Db
from slackwater.adapters.sql.postgresql.connection import PgConnection
from slackwater.adapters.sql.postgresql.database import PostgresqlDatabase
from slackwater.core.masking import masked
from slackwater.ports import Standing
from slackwater.telemetry import event

CHANNEL = "slackwater"
NOW = "extract(epoch FROM clock_timestamp())"
CHANGES = "SELECT what, number FROM changed"
CHANGE = "INSERT INTO changed (what, number) VALUES (?, 1) ON CONFLICT (what) DO UPDATE SET number = changed.number + 1"
SAY = "SELECT pg_notify(?, current_schema() || ' ' || ?)"
STAND = f"""INSERT INTO standing (member, deployment, at, facts) VALUES (?, ?, {NOW}, ?)
ON CONFLICT (member, deployment) DO UPDATE SET at = excluded.at, facts = excluded.facts"""  # noqa: S608 - no name of a user
UNSAY = "DELETE FROM standing WHERE member = ? AND deployment = ?"
LEAVE = "DELETE FROM standing WHERE member = ?"
# Servers that are gone without a word.
FORGOTTEN_AFTER_SECONDS = 300.0
FORGET = f"""DELETE FROM standing WHERE member IN (
    SELECT member FROM standing WHERE deployment = '' AND at < {NOW} - ?)"""  # noqa: S608 - no name of a user
STANDINGS = f"""SELECT said.member, said.deployment, said.facts FROM standing AS said
JOIN standing AS lives ON lives.member = said.member AND lives.deployment = ''
WHERE said.member != ? AND lives.at > {NOW} - ? ORDER BY said.member, said.deployment"""  # noqa: S608 - no name of a user


class PostgresqlTogether:
    """The others on the ledger of a database."""

    def __init__(self, database: PostgresqlDatabase) -> None:
        self._database = database
        self._listener: PgConnection | None = None
        self._listening_to = -1
        self._schema = ""
        self._connecting: asyncio.Task[None] | None = None
        self._closed = self._told = False

    @property
    def listening(self) -> bool:
        """Whether hints of others are heard."""
        return self._listener is not None

    async def changes(self) -> Mapping[str, int]:
        """The numbers of what has changed."""
        rows = await self._database.look(lambda db: db.execute(CHANGES).fetchall())
        return {row["what"]: row["number"] for row in rows}

    async def change(self, what: str) -> None:
        """Raises a number."""

        def work(db: Db) -> None:
            db.execute(CHANGE, (what,))
            db.execute(SAY, (CHANNEL, "changed"))

        await self._database.write(work)

    async def say(self, word: str) -> None:
        """Lets the others hear a word."""
        await self._database.look(lambda db: db.execute(SAY, (CHANNEL, word)).fetchone())

    async def stand(self, member: str, facts: Mapping[str, bytes]) -> None:
        """Keeps what a server says. In one transaction, which waits for no disk and meets nobody else's."""

        def work(db: Db) -> None:
            for deployment, text in facts.items():
                if text:
                    db.execute(STAND, (member, deployment, text.decode()))
                else:
                    db.execute(UNSAY, (member, deployment))
            db.execute(FORGET, (FORGOTTEN_AFTER_SECONDS,))

        await self._database.write(work, durable=False, fenced=True)

    async def leave(self, member: str) -> None:
        """Forgets what a server has said."""
        await self._database.write(lambda db: db.execute(LEAVE, (member,)), durable=False, fenced=True)

    async def standings(self, *, but: str, seconds: float) -> Sequence[Standing]:
        """What the others say."""
        rows = await self._database.look(lambda db: db.execute(STANDINGS, (but, seconds)).fetchall())
        return [Standing(row["member"], row["deployment"], row["facts"].encode()) for row in rows]

    # Listening

    async def listen(self, heard: Callable[[str], None]) -> None:
        """Makes the connection that listens, where there is none and nobody makes one already."""
        if self._listener is None and self._connecting is None and not self._closed:
            self._connecting = asyncio.create_task(self._listen(heard))
            self._connecting.add_done_callback(self._connected)

    def _connected(self, task: asyncio.Task[None]) -> None:
        self._connecting = None

    async def _listen(self, heard: Callable[[str], None]) -> None:
        try:
            db = await asyncio.to_thread(self._connect)
        except psycopg.Error as error:
            self._say_once(error)
            return
        if self._closed:
            db.close()
            return
        self._listener, self._listening_to, self._told = db, db.file_number, False
        asyncio.get_running_loop().add_reader(self._listening_to, self._read, db, heard)
        # What was said before that was not heard.
        heard("everything")

    def _connect(self) -> PgConnection:
        db = PgConnection(self._database.address, name="listener")
        try:
            self._schema = db.execute("SELECT current_schema()").fetchone()[0]
            db.execute(f"LISTEN {CHANNEL}")
        except BaseException:
            db.close()
            raise
        return db

    def _read(self, db: PgConnection, heard: Callable[[str], None]) -> None:
        """What has come on the connection; on the event loop, and never waits."""
        words: dict[str, None] = {}
        try:
            for sender, text in db.notes():
                schema, _, word = text.partition(" ")
                # What we have done ourselves, those who may have something to do know already.
                if schema == self._schema and sender not in self._database.senders():
                    words[word] = None
        except psycopg.Error as error:
            self._say_once(error)
            self._forget()
        for word in words:
            heard(word)

    def _say_once(self, error: psycopg.Error) -> None:
        """Until it listens again."""
        if not self._told:
            self._told = True
            event("not_listening", level=logging.WARNING, reason=masked(" ".join(str(error).split())))

    def _forget(self) -> None:
        db, self._listener = self._listener, None
        if db is not None:
            with contextlib.suppress(ValueError, OSError):
                asyncio.get_running_loop().remove_reader(self._listening_to)
            db.close()

    async def close(self) -> None:
        """Listens no more."""
        self._closed = True
        if self._connecting is not None:
            await asyncio.wait([self._connecting])
        self._forget()
