"""What every Ledger promises of connections, and of the sealed keys beside them."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from slackwater.core.errors import NoRoom
from slackwater.ports import Ledger, StoredConnection, StoredDeployment

STORED = StoredConnection(
    resource="red",
    name="gpu",
    url="http://127.0.0.1:8000/v1",
    key_header="api-key",
    key_stored=True,
    made_by="admin/key1",
    etag="1",
    created_at=1,
    updated_at=2,
    sealed="1.a.b",
)


class ConnectionContract:
    """Inherit, and define `open`."""

    def open(self, place: Path) -> Ledger:
        """A ledger below `place`; the same one where there is one."""
        raise NotImplementedError

    @pytest.fixture
    def run(self, tmp_path: Path) -> Any:
        """Runs a story over a new ledger."""

        def runner(story: Any) -> None:
            async def main() -> None:
                ledger = self.open(tmp_path)
                try:
                    await story(ledger)
                finally:
                    await ledger.close()

            asyncio.run(main())

        return runner

    def test_a_connection_comes_back_with_its_key_and_goes_with_it(self, run: Any) -> None:
        """A change takes the place of the version that was seen, and of no other; without a key, none stays."""

        async def story(ledger: Ledger) -> None:
            other = msgspec.structs.replace(STORED, resource="blue", key_env="KEY", key_stored=False, sealed=None)
            assert await ledger.put_connection(STORED, over=None)
            assert await ledger.put_connection(other, over=None)
            assert await ledger.connections() == [other, STORED]
            assert not await ledger.put_connection(STORED, over=None)
            assert not await ledger.put_connection(STORED, over="2")
            bare = msgspec.structs.replace(STORED, etag="2", key_stored=False, sealed=None)
            assert await ledger.put_connection(bare, over="1")
            assert await ledger.connections() == [other, bare]
            assert await ledger.remove_connection(STORED) == []
            assert len(await ledger.connections()) == 2
            assert await ledger.remove_connection(bare) == []
            assert await ledger.connections() == [other]
            # Nothing of the first one is left for another of its name.
            assert await ledger.put_connection(msgspec.structs.replace(bare, key_stored=True), over=None)
            assert [each.sealed for each in await ledger.connections()] == [None, None]

        run(story)

    def test_there_is_room_for_so_many(self, run: Any) -> None:
        """One more is refused; a change of one that is there is not."""

        async def story(ledger: Ledger) -> None:
            assert await ledger.put_connection(STORED, over=None, most=1)
            with pytest.raises(NoRoom):
                await ledger.put_connection(msgspec.structs.replace(STORED, name="b"), over=None, most=1)
            assert await ledger.put_connection(msgspec.structs.replace(STORED, etag="2"), over="1", most=1)

        run(story)

    def test_one_that_is_used_stays(self, run: Any) -> None:
        """Who uses it is named. A deployment of another resource, or with a connection of another name, does not count."""

        async def story(ledger: Ledger) -> None:
            await ledger.put_connection(STORED)
            body = {"properties": {"backends": [{"url": "http://x"}, {"connection": "gpu"}]}}
            user = StoredDeployment(resource="red", name="a", body=body, etag="1", created_at=1, updated_at=1)
            await ledger.put_deployment(user)
            await ledger.put_deployment(msgspec.structs.replace(user, resource="blue", name="b"))
            assert await ledger.remove_connection(STORED) == ["a"]
            assert await ledger.connections() == [STORED]
            await ledger.put_deployment(msgspec.structs.replace(user, body={"properties": {"backends": None}}))
            assert await ledger.remove_connection(STORED) == []
            assert await ledger.connections() == []

        run(story)

    def test_a_seal_is_renewed_where_it_is_still_that_one(self, run: Any) -> None:
        """Of two that renew it, or one that renews and one that changes, one does."""

        async def story(ledger: Ledger) -> None:
            await ledger.put_connection(STORED)
            assert await ledger.reseal_connection(STORED, sealed="1.n.x")
            assert not await ledger.reseal_connection(STORED, sealed="1.m.y")
            assert await ledger.connections() == [msgspec.structs.replace(STORED, sealed="1.n.x")]

        run(story)
