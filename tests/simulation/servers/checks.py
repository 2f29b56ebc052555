"""What must hold with several servers, looked at while they run. Of files and accounts in the end: ../checks.py."""

from collections import Counter
from typing import TYPE_CHECKING

from msgspec import Struct

from slackwater.core.members import UNTIL_SECONDS
from slackwater.core.sending.request import Reply
from tests.simulation.checks import Checks, must
from tests.simulation.content import ANSWERED, Content
from tests.simulation.servers.engines import PROBE, Call
from tests.simulation.servers.plan import Mood

if TYPE_CHECKING:
    from tests.simulation.servers.server import Server
    from tests.simulation.servers.world import World

# What a death may cost: what was answered since the last commit began, and what lies before and behind it.
COMMIT_SECONDS = 0.2 + 0.5
# After a process has ended, somebody else has noticed it; and after one stands still, or its machine is lost.
NOTICED_SECONDS, OVERDUE_SECONDS = 1.5, 20.0
# Somebody who looks has looked for so long.
SETTLED_SECONDS = 6.0
# What operators say counts everywhere after so long.
OBEYED_SECONDS = 2.5
# Within so long.
TWICE_SECONDS = 1.0
# Half of the round trip of a look, and what a clock runs fast or slow until the next one.
CLOCK_SECONDS = 3.5
# An engine may die of a line so often, where nobody is lost who has seen it.
DEATHS_MAX = 3


class ServersChecks(Checks):
    """Those of the ledger and the files."""

    def __init__(self, world: "World") -> None:
        super().__init__(world)  # type: ignore[arg-type]
        self._servers = world

    def note(self, what: str) -> None:
        super().note(f"{what} (at {self._servers.time:.2f})")

    def tokens_are_within_limits(self) -> None:
        """What runs never holds more than its deployment may."""
        rows = self._ledger.sql.database.reader.execute(  # type: ignore[attr-defined]
            "SELECT deployment, SUM(enqueued_tokens) AS held, COUNT(*) AS batches FROM batch "
            "WHERE stage IN ('running', 'ending') AND status != 'validating' GROUP BY deployment"
        )
        for key, held, batches in rows.fetchall():
            limit = self._servers.limit_of(key)
            # One that is larger than the limit goes alone.
            if limit is not None and held > limit and batches > 1:
                self.note(f"{key} holds {held} tokens of {limit}")

    def was_buried(self, name: str, by: "Server") -> None:
        """Nobody is taken for dead who runs and has reached the database all the while, whatever became of connections."""
        world = self._servers
        dead = next(each for each in world.servers if each.name == name)
        # One connection that is lost is had back in the next moment; of two in a row nobody knows that.
        lost_twice = dead.lost_at[0] > world.time - TWICE_SECONDS
        runs = (
            not lost_twice and dead.process.alive and not dead.process.stands and not dead.stopping and dead is not by
        )
        if runs and dead.troubled_at < world.time - UNTIL_SECONDS - NOTICED_SECONDS and not world.has(Mood.LATE):
            self.note(f"{by.name} has buried {name}, which runs")

    def clocks_are_right(self) -> None:
        """Everybody goes by the time of the database, whatever the clocks of their machines say."""
        time = self._servers.database.time
        for server in self._servers.servers:
            if server.up and not server.process.stands and abs(server.clock.now() - time) > CLOCK_SECONDS:
                self.note(f"to {server.name} it is {server.clock.now() - time:+.1f} s from the time of the database")

    def members_are(self, names: list[str]) -> None:
        """Those who run, and nobody else."""
        rows = self._servers.database.sqlite.reader.execute("SELECT id FROM member ORDER BY id").fetchall()
        must(
            [row["id"] for row in rows] == sorted(names), f"{names} run, and members are {[row['id'] for row in rows]}"
        )

    async def ends(self) -> None:
        """Nothing of those who have gone is left, and everybody has heard of everything."""
        reader = self._servers.database.sqlite.reader
        for table in ("member", "duty"):
            left = [tuple(row) for row in reader.execute(f"SELECT * FROM {table}").fetchall()]
            must(not left, f"rows of {table} are left: {left}")
        for order in self._servers.client.orders:
            rows = reader.execute("SELECT id FROM batch WHERE idempotency_key = ?", (order.batch_id,)).fetchall()
            must(len(rows) == 1, f"the create of {order.batch_id} made {len(rows)} batches")
        self._servers.receiver.at_rest()


class _Answer(Struct):
    server: "Server"
    at: float
    epoch: int


class ServersSending:
    """Those of the calls."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._answers: dict[str, _Answer] = {}
        self._deaths: Counter[str] = Counter()
        self.calls = self.resent = 0

    def was_never_readable(self, text: str) -> bool:
        """Every engine of this world has given readable answers."""
        return False

    def sent(self, call: Call) -> None:
        """A line's call begins."""
        world, now, text = self._world, self._world.time, call.text
        self.calls += 1
        observed = world.observed
        shard = observed.shards[observed.place_of(text)]
        if text in observed.journaled and shard.epoch == call.epoch and shard.state == "running":
            world.checks.note(
                f"{text} is journaled and was sent again under the newest epoch of its shard, {call.epoch}"
            )
        before = self._answers.get(text)
        if before is not None:
            self.resent += 1
            self._sent_again(call, before)
        for key, since in world.client.paused.items():
            obeys = now > since + OBEYED_SECONDS and world.well(call.server, since - 1.0)
            if obeys and world.is_of(text, key, call.engine):
                world.checks.note(f"{text} was sent, and {key} is paused since {since:.2f}")

    def _sent_again(self, call: Call, before: _Answer) -> None:
        note, other = self._world.checks.note, before.server
        if (other, before.epoch) == (call.server, call.epoch):
            note(f"{call.text} was answered at {before.at:.2f} and sent again under the same epoch")
        died = self._world.deaths.get(other)
        until = self._world.time if died is None else died
        if self._world.well(other, before.at - 1.0, until) and before.at < until - COMMIT_SECONDS:
            ended = "lives" if died is None else f"died at {died:.2f}"
            note(f"{call.text} was answered at {before.at:.2f} to {other.name}, which {ended} and was well")

    def arrived(self, call: Call) -> None:
        """It is at its engine, where all are counted."""
        engine = call.engine
        # What a server has just closed itself, because a batch was cancelled, its next call may overtake. A slot that is another
        # server's now must be free.
        by = Counter(
            each.server.name for each in engine.out if each.server is not call.server or not each.answer.cancelled()
        )
        if by.total() > engine.limit:
            self._world.checks.note(
                f"{by.total()} calls are out at {engine.name}, its limit is {engine.limit}: {dict(by)}"
            )

    def answered(self, call: Call, reply: Reply) -> None:
        """A server has its answer."""
        if call.text == PROBE:
            return
        content = self._world.lines[call.text]
        if (reply.status == 200 and content in ANSWERED) or (reply.status == 400 and content is Content.OWN):
            self._answers[call.text] = _Answer(call.server, self._world.time, call.epoch)

    def killed(self, call: Call) -> None:
        """An engine has died of a line."""
        self._deaths[call.text] += 1
        world = self._world
        # Who is lost, or stands still, has not told what it has seen.
        unseen = 2 * len(world.deaths) + 2 * world.befallen
        if self._deaths[call.text] > DEATHS_MAX + unseen:
            world.checks.note(f"{call.engine.name} died of {call.text} {self._deaths[call.text]} times")


def looks_after(world: "World", dead: "Server", *, seconds: float) -> None:
    """A server has ended: what it had in hand is free so long after that, where anybody is there who is well."""
    began = world.time
    if not world.observed.held_by(dead.name):
        return

    def look() -> None:
        others = [each for each in world.servers if each.up and each.begun_at < began - SETTLED_SECONDS]
        if not any(world.well(each, began - SETTLED_SECONDS) for each in others):
            return
        if Mood.UNKNOWN in world.plan.troubles and not world.calm:
            # Connections are lost now and then, and after that nobody is buried for a while.
            return
        if left := world.observed.held_by(dead.name):
            world.checks.note(f"{dead.name} ended at {began:.2f} and still has {left}")

    world.at(seconds, look)
