"""Which data directory a command opens: the one of the server's configuration, and none that nobody named without a word."""

import contextlib
import json
from pathlib import Path

import pytest

from slackwater.cli.data_options import data_beside
from tests.cli.conftest import Terminal
from tests.server import Server

CONFIG = """
[server]
data = "mydata"
[[deployments]]
name = "d"
[[deployments.backends]]
url = "http://127.0.0.1:9/v1"
api_key_env = "SURELY_NOT_SET"
"""
LOOKS = (["keys", "list"], ["usage"], ["audit", "export"], ["backup", "--output", "store"])


@pytest.fixture
def configured(offline: Terminal) -> Terminal:
    """Somebody beside the configuration of a server. Keys of its backends are not set here."""
    (offline.directory / "c.toml").write_text(CONFIG)
    return offline


def names_in(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.iterdir())


def test_the_directory_of_the_configuration(configured: Terminal) -> None:
    """Keys are made where the server will look for them; all commands that open it find it there, and say where."""
    mydata = configured.directory / "mydata"
    made = configured("keys", "create", "--role", "admin", "--config", "c.toml")
    assert made.returncode == 0, made.stderr
    assert f"keys in {mydata}, which is new" in made.stderr
    assert names_in(configured.directory) == ["c.toml", "mydata"]
    listed = configured("keys", "list", "--config", "c.toml")
    assert listed.stdout.count("admin") == 2
    assert f"keys in {mydata}\n" in listed.stderr
    for look, words in zip(LOOKS[1:], (f"usage in {mydata}", f"the audit log in {mydata}", str(mydata)), strict=True):
        done = configured(*look, "--config", "c.toml")
        assert done.returncode == 0, done.stderr
        assert words in done.stderr + done.stdout
    there = configured("restore", "store", "--config", "c.toml")
    assert (there.returncode, "mydata" in there.stderr) == (2, True)
    assert "nothing to recover" in configured.well("recover", "--config", "c.toml")
    assert "no server runs on mydata" in configured("confirm-clock", "--config", "c.toml").stderr
    assert f"keys in {configured.directory / 'other'}" in configured("keys", "create", "--data", "other").stderr


def test_who_starts_in_another_folder_is_told(configured: Terminal) -> None:
    """The data of a relative name is that of the folder where it is started: one beside the configuration is pointed at."""
    here = configured.directory
    configured.well("keys", "create", "--config", "c.toml")
    assert (here / "mydata" / "ledger.sqlite").stat().st_mode & 0o777 == 0o600, (
        "the owner's alone, as what is beside it"
    )
    (here / "away").mkdir()
    hint = f"there is one in {here / 'mydata'}: start in {here}, or name it with --data"
    with contextlib.chdir(here / "away"):
        for config in (Path("../c.toml"), here / "c.toml"):
            assert data_beside(Path("mydata"), config) == hint
        assert data_beside(Path("mydata"), None) == data_beside(here / "mydata", here / "c.toml") == ""
        Path("mydata").mkdir()
        assert data_beside(Path("mydata"), here / "c.toml") == "", "there is data here"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('data = "mydata"', 'dta = "mydata"'), "[server]: unknown setting 'dta'; did you mean 'data'?"),
        (('data = "mydata"', 'database_pasword_env = "P"'), "did you mean 'database_password_env'?"),
        (("[server]", "[sever]"), "sever: unknown section; did you mean 'server'?"),
        (('data = "mydata"', 'port = "80"'), "[server]: port: expected `int`"),
    ],
)
@pytest.mark.parametrize("look", [["members"], ["keys", "create"], *LOOKS])
def test_a_mistyped_name_is_said(configured: Terminal, look: list[str], change: tuple[str, str], words: str) -> None:
    """As `serve` says it: what was meant would be somewhere else."""
    (configured.directory / "c.toml").write_text(CONFIG.replace(*change))
    done = configured(*look, "--config", "c.toml")
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert names_in(configured.directory) == ["c.toml"]


def test_keys_of_a_resource_that_the_configuration_has_not(configured: Terminal) -> None:
    """None are made, because nobody could use them; those that there are can still be taken away."""
    (configured.directory / "c.toml").write_text(CONFIG + '[[resources]]\nname = "research"\n')
    wrong = configured("keys", "create", "--resource", "researhc", "--config", "c.toml")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "no resource 'researhc'" in wrong.stderr
    assert "it has default, research" in wrong.stderr
    assert names_in(configured.directory) == ["c.toml"]
    configured.well("keys", "create", "--resource", "research", "--config", "c.toml")
    (configured.directory / "c.toml").write_text(CONFIG)
    configured.well("keys", "delete", "--resource", "research", "--config", "c.toml")


@pytest.mark.parametrize("look", [*LOOKS, ["keys", "rotate", "--key", "key1"], ["keys", "delete"]])
def test_who_looks_makes_nothing(offline: Terminal, look: list[str]) -> None:
    """A directory that is not there is said, whole, with how to name another; it is not there afterwards either."""
    done = offline(*look)
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        f"there is no data directory {offline.directory / 'slackwater-data'}; name the data directory of a server with --data"
        in done.stderr
    )
    assert names_in(offline.directory) == []


@pytest.mark.parametrize(
    ("text", "words"), [("[server]\ndata = 5\n", "data: expected `str`"), ("[", "not valid TOML"), (None, "read")]
)
def test_a_configuration_that_does_not_say(offline: Terminal, text: str | None, words: str) -> None:
    """One line, exit code 2, and nothing is made."""
    if text is not None:
        (offline.directory / "c.toml").write_text(text)
    done = offline("keys", "create", "--config", "c.toml")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert words in done.stderr
    assert not (offline.directory / "slackwater-data").exists()


def test_a_server_is_named_by_the_environment_too(server: Server, terminal: Terminal) -> None:
    """SLACKWATER_URL or a default profile means that server, as everywhere; an option that names a directory counts for more."""
    url = f"http://{server.address}"
    for command in ("keys", "list"), ("usage", "--group-by", "deployment"):
        done = terminal(*command)
        assert done.returncode == 0, done.stderr
        assert f"of {url}" in done.stderr
    terminal.well("keys", "create", "--data", "data")
    assert "resource" in json.loads(terminal.well("keys", "list", "--data", "data", "--json"))[0]
    refused = terminal("keys", "create", "--resource", "red")
    assert refused.returncode == 2
    assert "SLACKWATER_URL names a server" in refused.stderr
    assert "--data or --config" in refused.stderr

    del terminal.environment["SLACKWATER_URL"]
    terminal.well("profiles", "add", "here", url, "--use")
    assert f"of {url}" in terminal("keys", "list").stderr
    assert names_in(terminal.directory) == ["data", "home"]
