"""A ledger on PostgreSQL and files in a store, copied while a server works and put back, as docs/object-stores.md has it."""

import json
import shutil
import subprocess
from pathlib import Path

import obstore
import psycopg
import pytest

from slackwater.adapters.object_store.place import CloudPlace
from slackwater.core.files.object_address import read_address
from tests.postgresql import running
from tests.stores.servers import Server as Store
from tests.stores.test_serving import Place, begin, check, client_of, done, ended, refused, until

pytestmark = [pytest.mark.stores, pytest.mark.postgresql, pytest.mark.timeout(300)]

MARK = "slackwater.mark"


def copy(place: Place, source: str, target: str) -> None:
    """What a tool does that removes nothing in the target. What goes meanwhile is passed over."""
    here, there = opened(place, source), opened(place, target)
    for each in [each for page in obstore.list(here) for each in page]:
        try:
            data = bytes(obstore.get(here, each["path"]).bytes())
        except FileNotFoundError:
            continue
        obstore.put(there, each["path"], data)


def opened(place: Place, address: str) -> obstore.store.ObjectStore:
    """The store, with keys below that address."""
    return CloudPlace(read_address(address), endpoint=place.store.endpoint, secret=place.store.secret).open()


def configured(place: Place, database: str, address: str) -> None:
    """Writes the configuration of a ledger there with files there."""
    place.write(address=address)
    place.config.write_text(place.config.read_text().replace("[server]\n", f'[server]\ndatabase = "{database}"\n', 1))


def test_a_copy_a_dump_and_a_copy(store: Store, tmp_path: Path) -> None:
    """One batch runs, and one ends between dump and second copy: both end where they are put back, each line once."""
    place = Place(store, tmp_path)
    kept, restored, dump = store.address("box"), store.address("box"), tmp_path / "ledger.dump"
    with running(careless=False) as databases:
        with psycopg.connect(databases.address("postgres"), autocommit=True) as admin:
            admin.execute("CREATE DATABASE first")
            admin.execute("CREATE DATABASE second ENCODING 'UTF8' TEMPLATE template0")

        def tool(name: str, *words: str) -> None:
            subprocess.run([databases.program(name), *words], check=True, timeout=60)

        configured(place, databases.address("first"), place.address)
        server = place.serve()
        client = client_of(server)
        long, short = begin(client, "long", 6000), begin(client, "short", 600)
        until(lambda: done(client, short) > 0 and done(client, long) > 0)
        copy(place, place.address, kept)
        # By which those are known to have ended whom the dump has as members.
        shutil.copytree(place.data / "members", tmp_path / "new" / "members")
        tool("pg_dump", "--format=custom", f"--file={dump}", databases.address("first"))
        until(lambda: ended(client, short))
        copy(place, place.address, kept)
        assert server.terminate() == 0

        tool("pg_restore", "--no-owner", f"--dbname={databases.address('second')}", str(dump))
        copy(place, kept, restored)
        with psycopg.connect(databases.address("second")) as looked:
            row = looked.execute(
                "SELECT json_build_object('identity', name, 'generation', generation) FROM identity"
            ).fetchone()
            assert row is not None
            mark = row[0]
        newer = mark | {"generation": mark["generation"] + 1}
        obstore.put(opened(place, restored), MARK, json.dumps(newer).encode())
        configured(place, databases.address("second"), restored)
        assert "is older than" in refused(place, tmp_path / "new")
        obstore.put(opened(place, restored), MARK, json.dumps(mark).encode())
        server = place.serve(tmp_path / "new")
        client = client_of(server)
        for batch_id, name, lines in ((short, "short", 600), (long, "long", 6000)):
            until(lambda batch_id=batch_id: ended(client, batch_id))
            check(client, batch_id, name, lines)
        assert server.terminate() == 0
