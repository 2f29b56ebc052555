"""What one server changes counts on the other: keys, deployments, pauses and rules, which each of them keeps in memory."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.accounts.preconditions import Precondition
from slackwater.core.accounts.resource import Role, Slot
from slackwater.core.batch import Status
from slackwater.core.errors import Conflict, LedgerUnavailable, PreconditionFailed
from slackwater.core.files.retention import Kept
from slackwater.core.sending.pause import Target
from slackwater.pipeline.accounts.connections import Asked
from slackwater.pipeline.following import FRESH_SECONDS
from tests.adapters.ledger_contract import started
from tests.odd_engine import answered, odd_engine
from tests.together.servers import Served, config_in, serving

pytestmark = pytest.mark.postgresql

CONFIG = """
[server]
api_key_envs = []
[[deployments]]
name = "d"
[[deployments.backends]]
echo = {}
"""
BODY = {
    "sku": {"name": "GlobalBatch", "capacity": 1},
    "properties": {"model": {"format": "OpenAI", "name": "m", "version": "1"}, "backendsOf": "d"},
}


def play(address: str, place: Path, story: Callable[[Served, Served], Awaitable[None]], *, text: str = CONFIG) -> None:
    """Runs a story with two servers."""

    async def main() -> None:
        config = config_in(place, text)
        async with (
            asyncio.timeout(120),
            serving(address, config, place / "data") as one,
            serving(address, config, place / "data") as other,
        ):
            await story(one, other)

    asyncio.run(main())


async def deafen(*servers: Served) -> None:
    """Takes their hints away, and their looks too: as if their loops and their connections were stuck."""
    for served in servers:
        assert served.ledger.together is not None
        await served.ledger.together.close()
        for loop in served.service._loops:
            if loop.name == "follow":
                loop.end()
        await asyncio.wait([task for task in served.service._tasks if task.get_name() == "follow"])


def line(model: str) -> bytes:
    """An input file of one line."""
    return (
        b'{"custom_id":"a","method":"POST","url":"/chat/completions","body":{"model":"%s","messages":[{"role":"user",'
        b'"content":"?"}]}}\n' % model.encode()
    )


async def ended(served: Served, batch_id: str) -> dict[str, Any]:
    """The batch once it has ended."""
    while True:
        seen = served.service.hints.ended.count
        batch: dict[str, Any] = (await served.call("GET", f"/batches/{batch_id}")).json()
        if batch["status"] in ("completed", "failed", "cancelled", "expired"):
            return batch
        await served.service.hints.ended.wait(served.service.clock, 0.05, seen=seen)


def test_a_key_that_one_makes_opens_the_other(tmp_path: Path, address: str) -> None:
    """At once, also where nothing of it has been heard: who is not known is looked for before anybody is refused."""

    async def story(one: Served, other: Served) -> None:
        await deafen(one, other)
        made = await one.keys.create("default", Role.USER)
        assert (await other.call("GET", "/files", key=made[Slot.KEY1])).status_code == 200
        assert (await other.call("GET", "/files", key="wrong")).status_code == 401
        assert (await other.call("GET", "/files", key="any")).status_code == 401

    play(address, tmp_path, story)


@pytest.mark.parametrize("how", ["delete", "rotate", "create"])
def test_a_key_that_one_takes_away_is_none_at_the_other(tmp_path: Path, address: str, how: str) -> None:
    """As soon as the hint has come."""

    async def story(one: Served, other: Served) -> None:
        admin = (await one.keys.create("default", Role.ADMIN))[Slot.KEY1]
        key = (await one.keys.create("default", Role.USER))[Slot.KEY1]
        assert (await other.call("GET", "/files", key=key)).status_code == 200
        match how:
            case "delete":
                await one.keys.delete("default", Role.USER)
            case "rotate":
                await one.keys.rotate("default", Role.USER, Slot.KEY1)
            case "create":
                await one.keys.create("default", Role.USER)
        while other.keys.known(key) is not None:
            await asyncio.sleep(0)
        assert (await other.call("GET", "/files", key=key)).status_code == 401
        assert (await other.call("GET", "/files", key=admin)).status_code == 200

    play(address, tmp_path, story)


def test_the_bound_holds_without_hints_and_looks(tmp_path: Path, address: str) -> None:
    """A key that was taken away is none after FRESH_SECONDS, whatever has become of the loop that looks: who decides asks first
    how old that is what is kept."""

    async def story(one: Served, other: Served) -> None:
        key = (await one.keys.create("default", Role.USER))[Slot.KEY1]
        assert (await other.call("GET", "/files", key=key)).status_code == 200
        await deafen(other)
        following = other.service.following
        assert following is not None
        await following.now("keys")
        await one.keys.delete("default", Role.USER)
        # As if that time had passed.
        following._looked["keys"] -= FRESH_SECONDS
        assert other.keys.known(key) is not None
        # Nobody has a key any more, so the other server is open again; but this is no key there.
        await other.call("GET", "/files", key=key)
        assert other.keys.known(key) is None

    play(address, tmp_path, story)


def test_nobody_is_let_in_by_what_is_old(tmp_path: Path, address: str) -> None:
    """While the ledger cannot be asked, what is kept of keys gets old, and calls are answered with 503 instead."""

    async def story(one: Served, other: Served) -> None:
        key = (await one.keys.create("default", Role.USER))[Slot.KEY1]
        await deafen(other)
        following = other.service.following
        assert following is not None
        assert (await other.call("GET", "/models", key=key)).status_code == 200

        async def away() -> dict[str, int]:
            raise LedgerUnavailable("the ledger cannot be reached")

        following._together.changes = away  # type: ignore[method-assign]
        assert (await other.call("GET", "/models", key=key)).status_code == 200
        following._looked["keys"] -= FRESH_SECONDS
        assert (await other.call("GET", "/models", key=key)).status_code == 503

    play(address, tmp_path, story)


@pytest.mark.parametrize("kind", ["keys", "pauses"])
def test_what_was_read_before_a_change_does_not_come_back(tmp_path: Path, address: str, kind: str) -> None:
    """A read that has begun before a change of this very server, and ends after it, is not what counts then."""
    read, go_on = asyncio.Event(), asyncio.Event()

    class Slow:
        """A ledger whose reads may take long on their way back."""

        def __init__(self, ledger: SqlLedger) -> None:
            self._ledger = ledger
            self.slow = False

        def __getattr__(self, name: str) -> Any:
            return getattr(self._ledger, name)

        async def _read(self, name: str, *arguments: Any) -> Any:
            found = await getattr(self._ledger, name)(*arguments)
            if self.slow:
                self.slow = False
                read.set()
                await go_on.wait()
            return found

        async def keys(self) -> Any:
            return await self._read("keys")

        async def pauses(self, what: Any) -> Any:
            return await self._read("pauses", what)

    async def main() -> None:
        config = config_in(tmp_path, CONFIG)
        async with asyncio.timeout(60), serving(address, config, tmp_path / "data", wrapped=Slow) as one:
            await deafen(one)
            key = (await one.keys.create("default", Role.USER))[Slot.KEY1]
            ledger: Any = one.service.ledger
            ledger.slow = True
            slowly = asyncio.create_task(one.keys.load() if kind == "keys" else one.service.pauses.step())
            await read.wait()
            if kind == "keys":
                changing = asyncio.create_task(one.keys.delete("default", Role.USER))
            else:
                changing = asyncio.create_task(
                    one.service.pauses.pause(Target.DEPLOYMENT, "d", resource="default", who="w", reason="")  # type: ignore[arg-type]
                )
            while not (await one.ledger.pauses((Target.DEPLOYMENT,)) or not await one.ledger.keys()):
                await asyncio.sleep(0)
            go_on.set()
            await asyncio.gather(slowly, changing)
            assert one.keys.known(key) is None or kind == "pauses"
            assert one.service.fleet.pause_of("d") is not None or kind == "keys"

    asyncio.run(main())


def test_a_role_that_was_taken_away_is_not_brought_back(tmp_path: Path, address: str) -> None:
    """By whoever makes one of its keys anew on a server that has not heard of it."""

    async def story(one: Served, other: Served) -> None:
        admin = (await one.keys.create("default", Role.ADMIN))[Slot.KEY1]
        await one.keys.create("default", Role.USER)
        await deafen(other)
        await one.keys.delete("default", Role.USER)
        answer = await other.put("POST", "/keys/user/rotate", {"key": "key1"}, key=admin)
        assert answer.status_code == 404
        assert [each.role for each in await one.ledger.keys()] == [Role.ADMIN, Role.ADMIN]

    play(address, tmp_path, story)


def test_a_deployment_that_one_makes_is_served_by_the_other(tmp_path: Path, address: str) -> None:
    """It is shown there at once; and a batch that is created and validated there finds it, also where no hint has come."""

    async def story(one: Served, other: Served) -> None:
        await deafen(one, other)
        plane = other.service.control_plane
        view, new = await one.service.control_plane.put("default", "made", BODY)
        assert new
        assert (await plane.view("default", "made")).stored == view.stored
        view, new = await one.service.control_plane.put("default", "made-too", BODY)
        # Whoever validates it, and whoever sends it: it is not lost.
        file = (await other.upload(line("made-too"))).json()["id"]
        batch = (await other.create(file)).json()
        assert (await ended(other, batch["id"]))["status"] == "completed"
        assert [each.name for each in await plane.views("default")] == ["d", "made", "made-too"]

    play(address, tmp_path, story)


def test_of_two_changes_of_one_version_one_is_made(tmp_path: Path, address: str) -> None:
    """A precondition holds over both servers; without one, the later change is one of what the earlier has left."""

    async def story(one: Served, other: Served) -> None:
        await deafen(one, other)
        planes = [each.service.control_plane for each in (one, other)]
        first, _ = await planes[0].put("default", "made", BODY)
        assert first.stored is not None
        seen = Precondition(match=frozenset({first.stored.etag}))
        changes = [{"tags": {f"t{number}": "x"}} for number in range(8)]
        outcomes = await asyncio.gather(
            *(planes[each % 2].change("default", "made", change, only_if=seen) for each, change in enumerate(changes)),
            return_exceptions=True,
        )
        assert sum(isinstance(each, PreconditionFailed) for each in outcomes) == 7
        await asyncio.gather(
            *(planes[each % 2].change("default", "made", change) for each, change in enumerate(changes[:4]))
        )
        for plane in planes:
            stored = (await plane.view("default", "made")).stored
            assert stored is not None
            assert {"t0", "t1", "t2", "t3"} <= set(stored.body["tags"])

    play(address, tmp_path, story)


def test_a_deployment_that_one_deletes_goes_from_the_other(tmp_path: Path, address: str) -> None:
    """Nothing new is let in there, and it can be made anew; a batch that was validated meanwhile is on none that has gone."""

    async def story(one: Served, other: Served) -> None:
        planes = [each.service.control_plane for each in (one, other)]
        await planes[0].put("default", "made", BODY)
        await planes[1].view("default", "made")
        await deafen(other)
        assert await planes[0].delete("default", "made") is None
        assert other.service.fleet.get("made") is not None
        file = (await other.upload(line("made"))).json()["id"]
        created = (await other.create(file)).json()
        batch = await ended(other, created["id"])
        assert batch["status"] == "failed"
        assert "made" in str(batch["errors"])
        _, new = await planes[1].put("default", "made", BODY)
        assert new
        assert (await planes[0].view("default", "made")).stored == (await planes[1].view("default", "made")).stored

    play(address, tmp_path, story)


def test_what_one_pauses_the_other_does_not_send(tmp_path: Path, address: str) -> None:
    """A deployment that is paused and resumed on one server is so on the other."""

    async def story(one: Served, other: Served) -> None:
        await one.service.pauses.pause(Target.DEPLOYMENT, "d", resource="default", who="w", reason="r")
        while other.service.fleet.pause_of("d") is None:
            await asyncio.sleep(0)
        await other.service.pauses.resume(Target.DEPLOYMENT, "d", who="w")
        while one.service.fleet.pause_of("d") is not None:
            await asyncio.sleep(0)

    play(address, tmp_path, story)


def test_what_one_is_asked_to_try_the_other_tries(tmp_path: Path, address: str) -> None:
    """Whoever sends may be the other one: an engine, a deployment, a batch; never past a pause."""

    async def story(one: Served, other: Served) -> None:
        while not (other.ledger.together and other.ledger.together.listening):
            await asyncio.sleep(0)
        tried: list[str] = []
        (engine,) = other.service.pauses.engines()
        engine.try_now = lambda doors: tried.append("engine")  # type: ignore[method-assign]
        fleet = other.service.fleet
        fleet.try_now = lambda key, batch_id=None: tried.append(f"{key} {batch_id}")  # type: ignore[method-assign]

        async def heard(*what: str) -> None:
            while len(tried) < len(what):
                await asyncio.sleep(0)
            assert tuple(tried) == what
            tried.clear()

        (name,) = [each.name for each in one.service.pauses.engines()]
        assert one.service.pauses.try_engine(name)
        await heard("engine", "d None")
        assert one.service.pauses.try_deployment("d")
        await heard("engine", "d None")
        running = await started(one.ledger, shards=(1,))
        for backends, what in ((True, ("engine", "d batch-0")), (False, ("d batch-0",))):
            one.service.pauses._tried.clear()
            batch = await one.ledger.batch(running.id)
            assert batch is not None
            if batch.terminal:
                break
            assert await one.service.pauses.try_batch(batch, backends=backends)
            await heard(*what)
        await one.service.pauses.pause(Target.ENGINE, name, resource="default", who="w", reason="r")
        while engine.held is None:
            await asyncio.sleep(0)
        other.service.pauses.heard(f"try engine {name}")
        other.service.pauses.heard("try deployment d")
        other.service.pauses.heard("try batch batch-0 d")
        for word in ("try", "try ", "try engine", "try batch", "try nothing x"):
            other.service.pauses.heard(word)
        assert tried == []

    play(address, tmp_path, story, text=CONFIG.replace("{}", "{ hang_rate = 1.0 }"))


def test_rules_of_keeping_are_those_of_the_last_start(tmp_path: Path, address: str) -> None:
    """A server that is started with other days changes them for all, those included that say when something goes."""

    async def main() -> None:
        days = CONFIG + "[retention]\nbatches_days = 30\n"
        config = config_in(tmp_path, days)
        async with asyncio.timeout(60), serving(address, config, tmp_path / "data") as one:
            config = config_in(tmp_path, days.replace("30", "90"))
            async with serving(address, config, tmp_path / "data") as other:
                while one.service.retention.batch_goes_at("default", 2**33) != 2**33 + 90 * 86_400:
                    await asyncio.sleep(0)
                rules = await other.ledger.retention_rules()
                assert rules["default", Kept.BATCHES].days == 90
                # The one that was started before does not put its own days in force again.
                await one.service.retention_janitor._take_up(rules)
                assert (await other.ledger.retention_rules())["default", Kept.BATCHES].days == 90

    asyncio.run(main())


def test_a_clock_that_is_confirmed_is_so_for_all(tmp_path: Path, address: str) -> None:
    """The word of an operator is found by one server, and is about the clock of the database, which is that of all."""

    async def main() -> None:
        config, said = config_in(tmp_path, CONFIG), []
        async with (
            asyncio.timeout(60),
            serving(address, config, tmp_path / "data", clock_confirmed=lambda: bool(said and said.pop())) as one,
            serving(address, config, tmp_path / "data") as other,
        ):
            for each in (one, other):
                each.service.clock._ahead += 7_200  # type: ignore[attr-defined]
                assert not each.service.wall.trusted()
            said.append(True)
            await one.service.wall.step()
            assert one.service.wall.trusted()
            while not other.service.wall.trusted():
                await asyncio.sleep(0)
            # What comes later is another matter.
            other.service.clock._ahead += 7_200  # type: ignore[attr-defined]
            assert other.service.following is not None
            await other.service.following.step()
            assert not other.service.wall.trusted()

    asyncio.run(main())


def test_a_batch_that_one_has_finished_is_finished_at_the_other(tmp_path: Path, address: str) -> None:
    """Nothing of a batch is kept in memory."""

    async def story(one: Served, other: Served) -> None:
        file = (await one.upload(line("d"))).json()["id"]
        batch = (await other.create(file)).json()["id"]
        assert (await ended(one, batch))["status"] == Status.COMPLETED
        output = (await other.call("GET", f"/batches/{batch}")).json()["output_file_id"]
        assert (await one.call("GET", f"/files/{output}/content")).content == (
            await other.call("GET", f"/files/{output}/content")
        ).content

    play(address, tmp_path, story)


def test_an_engine_that_one_adds_is_used_by_the_other(tmp_path: Path, address: str) -> None:
    """With its key; also where it changes below a deployment that stays as it is, and where no hint has come."""
    (tmp_path / "secrets.key").write_text(base64.b64encode(b"k" * 32).decode())
    text = CONFIG.replace("api_key_envs = []", 'secrets_key_file = "secrets.key"')
    body = {"properties": {"backends": [{"connection": "gpu", "model": "m"}]}}

    async def story(one: Served, other: Served) -> None:
        await deafen(one, other)
        here, there = (each.service.connections for each in (one, other))
        assert here is not None
        assert there is not None
        asked = Asked(url=first.url, key="sk-first")
        await here.put("default", "gpu", asked, who="w", operates=True, whole=True)
        await other.service.control_plane.put("default", "made", body)
        file = (await one.upload(line("made"))).json()["id"]
        for engine, key in ((first, "sk-first"), (second, "sk-second")):
            batch = (await other.create(file)).json()
            assert (await ended(other, batch["id"]))["status"] == "completed"
            assert {each.headers.get("authorization") for each in engine.asked} == {f"Bearer {key}"}
            if engine is first:
                changed = Asked(url=second.url, key="sk-second")
                await there.put("default", "gpu", changed, who="w", operates=True, whole=False)
        with pytest.raises(Conflict, match="'made'"):
            await here.delete("default", "gpu")
        await other.service.control_plane.delete("default", "made")
        await there.delete("default", "gpu")
        assert await here.views("default") == []

    with odd_engine(answered("m")) as first, odd_engine(answered("m")) as second:
        play(address, tmp_path, story, text=text)
