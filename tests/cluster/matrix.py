"""Every failure of a cluster, again and again, in one that goes on living: what it costs, and that no line is lost or doubled.

python -m tests.cluster.matrix [--rounds 20] [--kinds worker,server,...] [--seed 0]

Three workers, a server, and one that does not send, over one PostgreSQL and one data directory, real processes all of them, send
to one engine, and customers have batches open all the time. Each round somebody fails; who has ended is started anew. There is a
line of figures for each kind.
"""

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from msgspec import structs

from slackwater.core.members import YOUNG_SECONDS
from tests.cluster.broke_off import picture
from tests.cluster.cluster import until
from tests.cluster.crew import COMMIT_SECONDS, Crew, Member
from tests.cluster.customers import Customers, Seen
from tests.cluster.figures import Figures
from tests.cluster.network import HERE, Wire, refusal, wired
from tests.cluster.witness import Witness
from tests.postgresql import Postgresql, running

SLOTS = 24
LINES, OPEN = 40, 12
# Calls take between these, in seconds: as many are out as there are slots, and the processor has time to spare.
SHORTEST, LONGEST = 0.3, 0.9
# A commit takes a moment itself, and an answer is on its way for a moment before it is counted.
SLACK_SECONDS = 0.15
# What counts as the full rate again, of what was out before.
FULL = 0.85
STOPPED_SECONDS = 25.0
# A machine that is lost is noticed after fifteen seconds.
NOTICED_SECONDS = 30.0


class Matrix:
    """The cluster, and its failures."""

    def __init__(
        self,
        crew: Crew,
        engine: Witness,
        server: Postgresql,
        customers: Customers,
        *,
        seed: int,
        wire: Wire | None,
    ) -> None:
        self._crew = crew
        self._customers = customers
        self._engine = engine
        self._server = server
        self._wire = wire
        self._chance = random.Random(seed)
        self.kinds: dict[str, Callable[[Figures], None]] = {
            "worker": lambda found: self._dies(found, self._one("worker")),
            "server": lambda found: self._dies(found, self._one(("server", "api")[found.n % 2])),
            "finalizer": self._finalizer,
            "watcher": lambda found: self._dies(found, self._watcher()),
            "restart": lambda found: self._database(found, self._server.restart),
            "crash": lambda found: self._database(found, self._crash),
            "stop": self._stops,
            "cut": self._cut_off,
        }

    def round(self, kind: str, found: Figures) -> None:
        """Somebody fails, and everything is well again."""
        self._settle()
        self.kinds[kind](found)
        found.n += 1

    def _settle(self) -> None:
        """Until all are members, have something to do, and are known to each other."""
        crew, engine = self._crew, self._engine
        until(crew.stand, gap=0.1)
        # Of a database that has just been started nobody knows who has lost what.
        up = f"SELECT clock_timestamp() - pg_postmaster_start_time() > interval '{YOUNG_SECONDS + 0.5} s'"
        until(lambda: crew.asked(up) == [(True,)], gap=0.1)
        # The same as before, for as long as is compared with later.
        at_work = self._customers.at_work
        until(
            lambda: at_work() and engine.use(time.monotonic() - 3.0, time.monotonic()) > FULL * SLOTS,
            seconds=180,
            gap=0.05,
        )

    # Who

    def _one(self, role: str) -> Member:
        """One of that role that does not watch over the others, with shards in hand if it sends."""
        crew = self._crew
        there: list[Member] = []

        def holding() -> bool:
            watcher = crew.watcher()
            there[:] = [each for each in crew.members if each.role == role and each is not watcher]
            return all(crew.holds(each) for each in there if each.sends)

        until(holding, gap=0.005)
        return self._chance.choice(there)

    def _watcher(self) -> Member:
        found: list[Member] = []

        def watching() -> bool:
            watcher = self._crew.watcher()
            found[:] = [] if watcher is None or (watcher.sends and not self._crew.holds(watcher)) else [watcher]
            return bool(found)

        until(watching, gap=0.005)
        return found[0]

    # What happens

    def _dies(self, found: Figures, victim: Member) -> None:
        shards = self._crew.holds(victim)
        at = time.monotonic()
        victim.signal(signal.SIGKILL)
        self._after_death(found, victim, shards, at)

    def _finalizer(self, found: Figures) -> None:
        """It is stopped first, for a moment, so that it is certain that it had not ended what it was seen to do."""
        crew, query = self._crew, "SELECT member, thing FROM duty WHERE kind = 'finalize'"
        limit = time.monotonic() + 120
        while True:
            assert time.monotonic() < limit, "nobody was seen to finalize"
            rows = crew.asked(query)
            victim = crew.of_name(str(rows[0][0])) if rows else None
            if victim is None:
                signal.sigtimedwait([], 0.001)
                continue
            victim.signal(signal.SIGSTOP)
            if rows[0] in crew.asked(query):
                break
            victim.signal(signal.SIGCONT)
        shards = crew.holds(victim)
        at = time.monotonic()
        victim.signal(signal.SIGKILL)
        self._after_death(found, victim, shards, at)

    def _after_death(self, found: Figures, victim: Member, shards: list[tuple[int, int, int]], at: float) -> None:
        crew, engine = self._crew, self._engine
        lost = engine.out_of(victim.key, at, commit_seconds=COMMIT_SECONDS + SLACK_SECONDS)
        if shards:
            until(lambda: crew.taken(victim, shards)[1], gap=0.004)
            found.claims.append(time.monotonic() - at)
        victim.process.wait(10)
        crew.again(victim)
        self._sum_up(found, at, lost)

    def _sum_up(self, found: Figures, at: float, lost: set[str], *, least_seconds: float = 2.5) -> None:
        """Waits for the full rate, and looks at what was sent twice."""
        engine, full = self._engine, []

        def there() -> bool:
            now = time.monotonic()
            took = engine.full_again(at, now, least=FULL) if now > at + least_seconds else None
            full[:] = [] if took is None else [took]
            return bool(full)

        until(there, seconds=150, gap=0.05)
        found.full.append(full[0])
        found.losses.append((at, lost))

    def count_resent(self, found: Figures) -> None:
        """Looks at what was sent twice, once all rounds of a kind are over: lines may wait longer than a round for their turn."""
        engine, now = self._engine, time.monotonic()
        for at, lost in found.losses:
            again = engine.asked_again(at, now) & lost
            found.resent.append(len(again))
            found.allowed.append(len(lost))
            found.oldest = max([found.oldest, *(engine.answered_before(each, at) for each in again)])
        if found.losses:
            found.excess = len(
                engine.asked_again(found.losses[0][0], now).difference(*(lost for _, lost in found.losses))
            )

    def _database(self, found: Figures, fails: Callable[[], None]) -> None:
        crew, engine = self._crew, self._engine
        names = {each.name for each in crew.members}
        before, at = crew.held(), time.monotonic()
        lost = engine.out_of("", at, commit_seconds=COMMIT_SECONDS + SLACK_SECONDS)
        fails()
        crew.connect()
        until(lambda: crew.held() - before, gap=0.01)
        found.claims.append(time.monotonic() - at)
        self._sum_up(found, at, lost)
        found.buried += len(names - {str(row[0]) for row in crew.asked("SELECT id FROM member")})
        for each in list(crew.members):
            if not each.lives:
                found.faults.append(f"{each.role} ended with {each.process.returncode}")
                crew.again(each)

    def _crash(self) -> None:
        self._server.kill()
        self._server.start()

    def _stops(self, found: Figures) -> None:
        victim = self._chance.choice([each for each in self._crew.members if each.sends])
        until(lambda: self._crew.holds(victim), gap=0.01)
        self._lost_for_a_while(
            found, victim, lambda: victim.signal(signal.SIGSTOP), lambda: victim.signal(signal.SIGCONT)
        )

    def _cut_off(self, found: Figures) -> None:
        wire, crew = self._wire, self._crew
        assert wire is not None
        victim = next((each for each in crew.members if each.behind), None)
        if victim is None:
            former = self._one("worker")
            former.signal(signal.SIGKILL)
            former.process.wait(10)
            victim = crew.again(former, behind=wire)
            self._settle()
        # One that comes last may have nothing for a while, where the others have claimed what there was.
        at_work, engine = self._customers.at_work, self._engine
        until(lambda: at_work() and crew.holds(victim) and engine.out_to(victim.key), gap=0.01)
        self._lost_for_a_while(found, victim, wire.cut, wire.mend, behind=wire)

    def _lost_for_a_while(
        self,
        found: Figures,
        victim: Member,
        lose: Callable[[], None],
        find: Callable[[], None],
        *,
        behind: Wire | None = None,
    ) -> None:
        crew, engine = self._crew, self._engine
        victim.away = True
        shards, at = crew.holds(victim), time.monotonic()
        lose()
        lost = engine.out_of(victim.key, at, commit_seconds=COMMIT_SECONDS + SLACK_SECONDS)
        until(lambda: crew.taken(victim, shards)[1], seconds=NOTICED_SECONDS, gap=0.02)
        found.claims.append(time.monotonic() - at)
        until(lambda: time.monotonic() > at + STOPPED_SECONDS, gap=0.1)
        said, woken = victim.log.stat().st_size, time.monotonic()
        find()
        found.codes.append(victim.process.wait(60))
        words = victim.log.read_bytes()[said:].decode().splitlines()
        if not words or "took this one for dead" not in words[-1] or any("Traceback" in each for each in words):
            found.faults.append(f"it said {words[-3:]}")
        found.after += engine.asked_by(victim.key, woken)
        crew.again(victim, behind=behind)
        self._sum_up(found, at, lost)


def _rounds(matrix: Matrix, figures: Figures, rounds: int, *, tell: bool) -> None:
    """Those of one kind."""
    begun = time.monotonic()
    try:
        for _ in range(rounds):
            matrix.round(figures.kind, figures)
    finally:
        # Also of those that were cut short.
        matrix.count_resent(figures)
        if tell and figures.n:
            print(figures.line(), f"{time.monotonic() - begun:.0f} s", flush=True)


def played(folder: Path, *, rounds: int, kinds: list[str], seed: int, tell: bool) -> tuple[list[Figures], Seen]:
    """The rounds of each kind."""
    with ExitStack() as stack:
        refused = refusal() if "cut" in kinds else ""
        if refused:
            print(f"cut: skipped, because {refused}", file=sys.stderr)
            kinds = [each for each in kinds if each != "cut"]
        wire = stack.enter_context(wired()) if "cut" in kinds else None
        here = "127.0.0.1" if wire is None else HERE
        server = stack.enter_context(running(careless=False, settings={"listen_addresses": here if wire else ""}))
        engine = stack.enter_context(Witness(shortest=SHORTEST, longest=LONGEST).serving(here))
        crew = Crew(folder, server.address("postgres"), engine, slots=SLOTS, wire=wire)
        stack.callback(crew.close)
        starting = [crew.start(role) for role in ("worker", "worker", "worker", "server", "api")]
        for each in starting:
            each.ready()
        customers = Customers(crew, lines=LINES, open_at_once=OPEN)
        matrix = Matrix(crew, engine, server, customers, seed=seed, wire=wire)
        found: list[Figures] = []
        try:
            for kind in kinds:
                figures = Figures(kind=kind)
                found.append(figures)
                _rounds(matrix, figures, rounds, tell=tell)
            seen = customers.end()
        except BaseException as error:
            print(f"broke off after {[(each.kind, each.n) for each in found]}: {error!r}", file=sys.stderr)
            print(picture(crew, engine, customers), file=sys.stderr, flush=True)
            raise
        return found, seen


ALL = ("worker", "server", "finalizer", "watcher", "restart", "crash", "stop", "cut")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--kinds", default=",".join(ALL))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    # Nothing stays behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="slackwater-matrix-", ignore_cleanup_errors=True) as folder:
        found, seen = played(
            Path(folder), rounds=options.rounds, kinds=options.kinds.split(","), seed=options.seed, tell=True
        )
        print(json.dumps(structs.asdict(seen)))
    wrong = (
        seen.lost or seen.doubled or seen.failed or seen.miscounted or any(each.excess or each.faults for each in found)
    )
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
