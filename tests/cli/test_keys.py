"""`slackwater keys` with a server: the same keys as the API's, which no data directory is needed for."""

import json

from tests.api.calls import Caller
from tests.cli.conftest import Terminal
from tests.server import Server


def test_keys_of_a_server_that_runs(server: Server, terminal: Terminal) -> None:
    """Made, listed, rotated and taken away while the server runs; each key works as long as it is one."""
    there = ("--server", f"http://{server.address}")

    def works(key: str) -> bool:
        return Caller(server, "openai", key=key)("GET", "/models").status == 200

    made = dict(line.split() for line in terminal.well("keys", "create", "--role", "reader", *there).splitlines())
    assert works(made["key1"])
    assert works(made["key2"])
    listed = terminal.well("keys", "list", *there)
    assert "reader  key1  ..." + made["key1"][-4:] in listed
    assert made["key1"] not in listed

    rotated = json.loads(terminal.well("keys", "rotate", "--role", "reader", "--key", "key1", "--json", *there))
    assert list(rotated) == ["key1"]
    assert [works(made["key1"]), works(made["key2"]), works(rotated["key1"])] == [False, True, True]

    terminal.well("keys", "delete", "--role", "reader", *there)
    assert not works(made["key2"])
    again = terminal("keys", "delete", "--role", "reader", *there)
    assert again.returncode == 1
    assert "has no keys" in again.stderr


def test_a_server_has_no_data_directory(terminal: Terminal) -> None:
    """Options that go with a data directory are refused beside a server, before anything changes."""
    done = terminal("keys", "create", "--server", terminal.environment["SLACKWATER_URL"], "--resource", "red")
    assert done.returncode == 2
    assert "--data, --config and --resource go without it" in done.stderr


def test_a_data_directory_in_use_names_the_way(server: Server, terminal: Terminal) -> None:
    """Whoever meets a running server is told how to ask it, in words that work."""
    done = terminal("keys", "list", "--data", str(server.data))
    assert done.returncode == 2
    assert "add --server http://" in done.stderr
