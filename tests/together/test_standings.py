"""A server that sends nothing answers the same as the one that does: what is out, how quickly it goes, what keeps it waiting."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from slackwater.core.sending.door import DoorState
from slackwater.core.sending.pace import USUAL
from slackwater.core.sending.pacing_view import PacingView, State
from slackwater.core.watching.standings import (
    BackendView,
    Out,
    Says,
    WaitingOn,
    backends_of,
    out_of_all,
    shut_of,
    waiting_of,
)
from tests.together.servers import Served, config_in, serving

SLOW = """
[[deployments]]
name = "d"
enqueued_token_limit = 100000
dynamic_quota = true
when_full = "queue"
[[deployments.backends]]
echo = { latency_seconds = 0.05 }
concurrency = 4
"""


def lines(count: int, model: str = "d") -> bytes:
    """An input file of so many lines."""
    return b"".join(
        b'{"custom_id":"%d","method":"POST","url":"/chat/completions","body":{"model":"%s","messages":'
        b'[{"role":"user","content":"?"}]}}\n' % (number, model.encode())
        for number in range(count)
    )


def play(address: str, place: Path, story: Callable[[Served, Served], Awaitable[None]], *, text: str = SLOW) -> None:
    """Runs a story with a server that does not send and one that does."""

    async def main() -> None:
        config = config_in(place, text)
        async with (
            asyncio.timeout(120),
            serving(address, config, place / "data", works=False) as quiet,
            serving(address, config, place / "data") as busy,
        ):
            await story(quiet, busy)

    asyncio.run(main())


async def told(quiet: Served, busy: Served) -> None:
    """What the busy one says now has been heard by the quiet one."""
    assert busy.service.standings is not None
    assert quiet.service.standings is not None
    busy.service.standings._said_at = float("-inf")
    await busy.service.standings.step()
    await quiet.service.standings.step()


async def begun(served: Served, batch_id: str) -> None:
    """Waits until some results of a batch are durable."""
    while True:
        batch = await served.ledger.batch(batch_id)
        assert batch is not None
        if batch.counts.completed:
            return
        await asyncio.sleep(0.01)


@pytest.mark.postgresql
def test_a_server_that_does_not_send_answers_the_same(tmp_path: Path, address: str) -> None:
    """How a batch gets on, how its deployment and its engine are, and what its quota is now."""

    async def story(quiet: Served, busy: Served) -> None:
        file = (await quiet.upload(lines(400))).json()["id"]
        batch_id = (await quiet.create(file)).json()["id"]
        await begun(busy, batch_id)

        async def seen(served: Served, path: str) -> Any:
            answer = await served.call("GET", path)
            assert answer.status_code == 200, answer.content
            return answer.json()

        while True:
            await told(quiet, busy)
            answers = [await seen(each, f"/batches/{batch_id}/progress") for each in (quiet, busy)]
            rates = [each.service.tokens_per_second("d", now=each.service.clock.monotonic()) for each in (quiet, busy)]
            if all(each["requests_per_second"] for each in answers) and all(rates):
                break
            await asyncio.sleep(0.01)
        out = range(1, 5)
        assert all(each["requests_out"] in out for each in answers)
        assert answers[0]["waiting_on"] == answers[1]["waiting_on"] is None
        statuses = [(await seen(each, "/deployment_status"))["data"][0] for each in (quiet, busy)]
        assert all(each["backends"][0]["in_flight"] in out for each in statuses)
        assert statuses[0]["backends"][0]["window"] == statuses[1]["backends"][0]["window"] == 4
        assert statuses[0]["backends"][0]["requests_per_second"] > 0
        assert statuses[0]["backends"][0]["latency_seconds"] > 0.04
        assert statuses[0]["health"] == statuses[1]["health"] == "serving"
        # What has been finished lately lets more in, wherever it is asked for.
        assert rates[0] == pytest.approx(rates[1], rel=0.5)
        assert all(each["quota"]["limit_now"] > 100_000 for each in statuses)
        rows = [(await seen(each, "/batch_overview"))["data"][0] for each in (quiet, busy)]
        assert all(each["requests_out"] in out for each in rows)
        engines = [await each.service.engine_watch.views() for each in (quiet, busy)]
        assert all([each.in_flight in out for each in views] == [True] for views in engines)
        await busy.call("POST", f"/batches/{batch_id}/cancel")

    play(address, tmp_path, story)


@pytest.mark.postgresql
def test_what_keeps_a_batch_waiting_is_said_everywhere(tmp_path: Path, address: str) -> None:
    """Its engine does not listen: who does not send has never asked it, and says so nevertheless; and forgets it with the server
    that has said so."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        text = f'[[deployments]]\nname = "d"\n[[deployments.backends]]\nurl = "http://127.0.0.1:{port}/v1"\n'

        async def story(quiet: Served, busy: Served) -> None:
            file = (await quiet.upload(lines(3))).json()["id"]
            batch_id = (await quiet.create(file)).json()["id"]
            batch = None
            while True:
                batch = await busy.ledger.batch(batch_id)
                assert batch is not None
                if await busy.service.watch.waiting_on(batch) is not None:
                    break
                await asyncio.sleep(0.01)
            assert await quiet.service.watch.waiting_on(batch) is None
            await told(quiet, busy)
            here, there = [await each.service.watch.waiting_on(batch) for each in (quiet, busy)]
            assert here is not None
            assert there is not None
            assert (here.what, here.health, here.backend) == (there.what, there.health, there.backend)
            assert here.health is DoorState.DOWN
            shown = [(await each.call("GET", f"/batches/{batch_id}")).headers for each in (quiet, busy)]
            assert shown[0]["slackwater-waiting-on"].startswith("down; what=backend")
            status = [(await each.call("GET", "/deployment_status")).json()["data"][0] for each in (quiet, busy)]
            assert status[0]["health"] == status[1]["health"] == "down"
            assert busy.service.standings is not None
            assert quiet.service.standings is not None
            await busy.service.standings.leave()
            await quiet.service.standings.step()
            assert await quiet.service.watch.waiting_on(batch) is None

        play(address, tmp_path, story, text=text)


@pytest.mark.postgresql
def test_what_is_said_is_bounded(tmp_path: Path, address: str) -> None:
    """Of a deployment of which there is nothing to say there is no row, and of all engines that are idle there is one. A server
    that stops takes what it has said along.
    """

    async def story(quiet: Served, busy: Served) -> None:
        def rows() -> list[tuple[Any, ...]]:
            with psycopg.connect(address, autocommit=True) as db:
                return db.execute("SELECT deployment FROM standing ORDER BY deployment").fetchall()

        await told(quiet, busy)
        assert set(rows()) == {("",), (" engines",)}
        assert rows().count((" engines",)) == 1
        file = (await quiet.upload(lines(100))).json()["id"]
        batch_id = (await quiet.create(file)).json()["id"]
        await begun(busy, batch_id)
        await told(quiet, busy)
        assert rows().count(("d",)) == 1
        await busy.service.stop()
        assert ("d",) not in rows()

    play(address, tmp_path, story, text=SLOW.replace("0.05", "0.5"))


# Put together


def backend(**changes: Any) -> BackendView:
    """One backend of which nothing is out."""
    fields: dict[str, Any] = {
        "name": "b",
        "region": "",
        "data_zone": "",
        "health": DoorState.OK,
        "reason": "",
        "since": None,
        "until": None,
        "quiet_since": None,
        "in_flight": 0,
        "window": 8,
        "pacing": PacingView(pace=USUAL, state=State.ABSENT),
        "own_engine": True,
        "latency_seconds": None,
        "requests_per_second": 0.0,
        "tokens_per_second": 0.0,
        "last_error": None,
    }
    return BackendView(**(fields | changes))


DOWN = WaitingOn(what="backend", health=DoorState.DOWN, reason="gone", since=1, until=50)


def test_who_has_nothing_in_hand_does_not_speak() -> None:
    """A server that has not asked an engine for a while believes it to be well; where nobody has asked, all of them do."""
    idle = Says(backends=[backend()])
    busy = Says(at_work=True, shut=DOWN, backends=[backend(health=DoorState.DOWN, since=1, until=50, window=0)])
    assert shut_of([idle, busy]) == DOWN
    assert backends_of([idle, busy])[0].health is DoorState.DOWN
    assert shut_of([idle, idle]) is None
    assert shut_of([idle, Says(at_work=False, shut=DOWN)]) is None
    assert shut_of([busy, Says(at_work=True)]) is None
    later = Says(at_work=True, shut=WaitingOn(what="backend", reason="r", since=1, until=10))
    assert shut_of([busy, later]) == later.shut


def test_what_is_counted_is_added_up() -> None:
    """Calls, rates and windows of those who send; a latency is that of all calls."""
    one = Says(
        at_work=True,
        backends=[backend(in_flight=4, latency_seconds=1.0, requests_per_second=3.0, tokens_per_second=30.0)],
    )
    other = Says(
        at_work=True,
        backends=[backend(in_flight=2, window=2, latency_seconds=5.0, requests_per_second=1.0, last_error="e")],
    )
    (seen,) = backends_of([one, Says(backends=[backend()]), other])
    assert (seen.in_flight, seen.window) == (6, 10)
    assert (seen.latency_seconds, seen.requests_per_second, seen.tokens_per_second) == (2.0, 4.0, 30.0)
    assert seen.last_error == "e"
    # Two entries of one name stay two.
    assert len(backends_of([Says(backends=[backend(), backend()]), Says(backends=[backend(), backend()])])) == 2


def test_nothing_is_quiet_where_something_comes_back() -> None:
    """Calls are quiet where none of them has come back, and since the last of those moments."""
    assert out_of_all([Out(in_flight=3, quiet_since=5), Out(in_flight=1, quiet_since=9)]) == Out(
        in_flight=4, quiet_since=9
    )
    assert out_of_all([Out(in_flight=3, quiet_since=5), Out(in_flight=1, quiet_since=None)]).quiet_since is None
    assert out_of_all([Out(in_flight=3, quiet_since=5), Out(in_flight=0, quiet_since=None)]).quiet_since == 5
    assert out_of_all([]) == Out(in_flight=0, quiet_since=None)


def test_a_batch_waits_where_it_is_in_hand() -> None:
    """Who has something of it in hand says what keeps it; it does not wait where somebody sends it."""
    held = Says(at_work=True, batches={"x": DOWN, "y": None}, others=None)
    assert waiting_of("x", [Says(), held]) == DOWN
    assert waiting_of("y", [Says(), held]) is None
    assert waiting_of("x", [held, Says(at_work=True, batches={"x": None}, sending=["x"])]) is None
    assert waiting_of("x", [held, Says(at_work=True, batches={"x": None})]) is None
    assert waiting_of("z", [Says(at_work=True, others=DOWN), Says()]) == DOWN
    assert waiting_of("z", [Says(at_work=True, others=DOWN), Says(at_work=True)]) is None
