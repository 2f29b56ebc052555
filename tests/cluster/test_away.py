"""PostgreSQL is away for a while: what the processes that work with it say meanwhile, to their logs and to whoever asks."""

import contextlib
import json
import os
import signal
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster, until
from tests.crash.counting_backend import CountingBackend
from tests.crash.rounds import input_lines
from tests.postgresql import Postgresql, running
from tests.server import Server

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(600)]


@pytest.fixture
def database() -> Iterator[Postgresql]:
    """One that may go."""
    with running() as server:
        yield server


def reasons(process: Server) -> list[str]:
    """Why a process is not ready; empty where it is."""
    try:
        with urllib.request.urlopen(f"http://{process.address}/readyz", timeout=30):
            return []
    except urllib.error.HTTPError as error:
        return [each["code"] for each in json.load(error)["reasons"]]


def page(process: Server) -> list[str]:
    """The lines of its metrics page, for whoever has the key of the service."""
    asked = urllib.request.Request(f"http://{process.address}/metrics", headers={"api-key": "any"})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        lines: list[str] = answer.read().decode().splitlines()
        return lines


def away_seconds(process: Server) -> float:
    """For how long its database is away, by that page."""
    (line,) = (line for line in page(process) if line.startswith("slackwater_ledger_unavailable_seconds "))
    return float(line.split()[1])


def warned(text: str) -> Counter[str]:
    """How often each warning or error is in the lines of a log."""
    lines = [line.split() for line in text.splitlines()]
    return Counter(words[3] for words in lines if len(words) > 3 and words[2] in ("WARNING", "ERROR"))


def failures(process: Server) -> float:
    """How many steps of stages have found no ledger."""
    return sum(float(line.split()[1]) for line in page(process) if 'reason="ledger_unavailable"' in line)


@contextlib.contextmanager
def away(database: Postgresql, cluster: Cluster, how: str) -> Iterator[None]:
    """It has ended, or all of its processes stand still."""
    if how == "ended":
        database.stop()
        yield
        database.start()
        return
    assert database.process is not None
    still = [database.process.pid, *(int(str(row[0])) for row in cluster.asked("SELECT pid FROM pg_stat_activity"))]
    for pid in still:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in still:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize(("how", "keys"), [("ended", ""), ("hangs", 'api_key_envs = ["KEY"]')])
def test_a_line_when_it_goes_and_one_when_it_is_back(
    tmp_path: Path, database: Postgresql, how: str, keys: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many stages find that out, and though nobody was refused yet; readiness and metrics say it, too."""
    address = database.address("postgres")
    with CountingBackend(latency=0.1) as backend, Cluster(tmp_path, address, backend, concurrency=8) as cluster:
        monkeypatch.setenv("KEY", "any")
        cluster.config.write_text(cluster.config.read_text().replace("[server]", f"[server]\n{keys}"))
        processes = server, _ = cluster.start(), cluster.worker()
        server.create_batch(server.upload("in.jsonl", input_lines("line", 20_000)))
        until(lambda: len(backend.answered) > 50)
        assert [reasons(each) for each in processes] == [[], []]
        assert [away_seconds(each) for each in processes] == [0, 0]
        before = {each: len(cluster.log(each)) for each in processes}
        with away(database, cluster, how):
            for each in processes:
                until(lambda each=each: reasons(each) == ["ledger_not_writable"])
                # What readiness says the log has said.
                assert "ledger_unavailable" in cluster.log(each)[before[each] :]
                assert away_seconds(each) > 1
                # Its stages come to know it themselves, most of them more than once.
                until(lambda each=each: how == "hangs" or failures(each) > 60)
        for each in processes:
            until(lambda each=each: reasons(each) == [])
            assert "ledger_back" in cluster.log(each)[before[each] :]
            until(lambda each=each: away_seconds(each) == 0)
            said = cluster.log(each)[before[each] :]
            counts = warned(said)
            # Another line after half a minute, on a machine that is as slow as that.
            assert counts.pop("ledger_unavailable") in (1, 2), said
            assert counts.keys() <= {"not_listening", "engines_not_shared", "members_unheard"}, said
            assert max(counts.values(), default=0) <= 1, said
            assert (said.count("ledger_back"), said.count("meanwhile=")) == (1, 1), said
