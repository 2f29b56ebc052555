"""An engine's limit over servers and workers that share a ledger, whoever of them sends for the deployment that names it."""

from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster, until
from tests.cluster.sampled_engine import SampledEngine
from tests.postgresql import Databases
from tests.system.test_engine_limits import create, until_ended

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(300)]


@pytest.fixture
def address(postgresql: Databases) -> str:
    """A database that nothing is in, not even a schema."""
    return postgresql.new(template="template1")


def named(cluster: Cluster, engine: SampledEngine, *numbers: int | None) -> None:
    """Whoever is started from now on has these deployments, all at that engine; None names no number."""
    head = cluster.config.read_text().partition("[[deployments]]")[0]
    for place, number in enumerate(numbers):
        head += f'[[deployments]]\nname = "d{place}"\n[[deployments.backends]]\nurl = "{engine.url}"\n'
        head += "" if number is None else f"concurrency = {number}\n"
    cluster.config.write_text(head)


def answers(engine: SampledEngine, count: int) -> None:
    """Returns when so many more have been answered."""
    answered = engine.answered
    until(lambda: engine.answered >= answered + count, gap=0.02)


def test_each_sends_for_another_deployment(tmp_path: Path, address: str) -> None:
    """One worker sends for the one that names a number, one for the other: it holds, also while the first has nothing to send."""
    with SampledEngine(shortest=0.05, longest=0.1).serving() as engine, Cluster(tmp_path, address, engine) as cluster:
        named(cluster, engine, 8, None)
        server = cluster.start("--no-sending")
        cluster.worker("--deployments", "d0")
        cluster.worker("--deployments", "d1")
        until_ended(server, create(server, "d1", 300))
        assert engine.out_max == 8
        until_ended(server, *(create(server, name, 300) for name in ("d0", "d1")))
        assert engine.out_max == 8


def test_the_number_comes_and_goes_one_member_after_the_other(tmp_path: Path, address: str) -> None:
    """As in a cluster that is upgraded: with the first that has it, it holds for both; gone from both, it holds for none."""
    with SampledEngine(shortest=0.05, longest=0.1).serving() as engine, Cluster(tmp_path, address, engine) as cluster:
        named(cluster, engine, None, None)
        server = cluster.start("--no-sending")
        workers = [cluster.worker(), cluster.worker()]
        batches = [create(server, name, 20_000) for name in ("d0", "d1", "d0", "d1")]
        until(lambda: engine.out_max == 64)
        named(cluster, engine, None, 8)
        for place, worker in enumerate(workers):
            assert worker.terminate() == 0
            workers[place] = cluster.worker()
            # The other asks again within three seconds, and its calls end by themselves.
            until(lambda: len(shares(cluster)) == 2 and sum(shares(cluster)) <= 8)
            until(lambda: engine.out <= 8)
            engine.out_max = 0
            answers(engine, 200)
            assert engine.out_max == 8
        named(cluster, engine, 24, 8)
        for place, worker in enumerate(workers):
            assert worker.terminate() == 0
            workers[place] = cluster.worker()
        engine.out_max = 0
        answers(engine, 200)
        assert engine.out_max == 8
        named(cluster, engine, None, None)
        for place, worker in enumerate(workers):
            assert worker.terminate() == 0
            workers[place] = cluster.worker()
        until(lambda: engine.out == 64)
        for batch in batches:
            server.raw("POST", f"/batches/{batch}/cancel")


def shares(cluster: Cluster) -> list[int]:
    """What each has been granted of the engine."""
    return [
        int(str(row[0]))
        for row in cluster.asked(
            "SELECT slots FROM engine_slots WHERE engine LIKE 'http%' AND until > extract(epoch FROM now())"
        )
    ]
