"""`slackwater profiles`: servers by name, and which one is meant."""

import json
from pathlib import Path

import pytest

from slackwater.client.profiles import chosen_target, load_profiles, profiles_path
from slackwater.core.errors import ConfigError, InvalidRequest
from tests.cli.conftest import KEY, Terminal

FILE = """# mine
default = "work"

[profiles.work]  # the team's
url = "https://batch.example"
api_key_env = "WORK_KEY"

[profiles.azure]
url = "https://n.openai.azure.com"
api_key_command = "echo from-a-command"
"""


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment with the file above."""
    path = tmp_path / "config" / "slackwater" / "profiles.toml"
    path.parent.mkdir(parents=True)
    path.write_text(FILE)
    return {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config"), "WORK_KEY": "w\n"}


def test_the_strongest_word_counts(home: dict[str, str]) -> None:
    """--server before --profile before SLACKWATER_URL before SLACKWATER_PROFILE before the file's default."""
    assert chosen_target(home).url == "https://batch.example"
    named = home | {"SLACKWATER_PROFILE": "azure"}
    assert chosen_target(named).url == "https://n.openai.azure.com"
    addressed = named | {"SLACKWATER_URL": "http://10.0.0.1:8080"}
    assert chosen_target(addressed).url == "http://10.0.0.1:8080"
    assert chosen_target(addressed, profile="work").url == "https://batch.example"
    assert chosen_target(addressed, server="http://10.0.0.2").url == "http://10.0.0.2"
    assert chosen_target({"HOME": "/nowhere"}).url == "http://127.0.0.1:8080"
    with pytest.raises(InvalidRequest):
        chosen_target(home, server="http://10.0.0.2", profile="work")


def test_where_the_key_comes_from(home: dict[str, str]) -> None:
    """The variable of the option, the profile's, its command, or the usual one of the host; never another host's."""
    assert chosen_target(home).key == "w"
    assert chosen_target(home | {"MINE": "m"}, api_key_env="MINE").key == "m"
    assert chosen_target(home, profile="azure").key == "from-a-command"
    usual = home | {"SLACKWATER_API_KEY": "s", "OPENAI_API_KEY": "o", "AZURE_OPENAI_API_KEY": "a"}
    assert chosen_target(usual, server="http://10.0.0.1").key == "s"
    assert chosen_target(usual, server="https://api.openai.com/v1").key == "o"
    assert chosen_target(usual, server="https://n.openai.azure.com").key == "a"
    # A server of one's own that speaks OpenAI's dialect must not get OpenAI's key.
    assert chosen_target(usual, server="http://10.0.0.1/v1").key == "s"
    with pytest.raises(ConfigError, match="WORK_KEY is not set"):
        chosen_target({**home, "WORK_KEY": ""})
    with pytest.raises(ConfigError, match="no key has"):
        chosen_target(home | {"WORK_KEY": "a\nb"})


@pytest.mark.parametrize("text", ["default = 3", "[profiles.x]\nkey = 'secret'", "not toml", "[profiles.x]"])
def test_a_file_that_is_wrong(tmp_path: Path, text: str) -> None:
    """It is named with what is wrong; a key in it is an unknown setting, so nobody begins to keep keys there."""
    path = tmp_path / "profiles.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as wrong:
        load_profiles(path)
    assert str(path) in wrong.value.faults[0]


def test_relative_directories_are_ignored(tmp_path: Path) -> None:
    """As the specification of XDG_CONFIG_HOME says."""
    assert (
        profiles_path({"HOME": str(tmp_path), "XDG_CONFIG_HOME": "x"}) == tmp_path / ".config/slackwater/profiles.toml"
    )


def test_a_persons_words_stay(offline: Terminal, home: dict[str, str]) -> None:
    """Adding, using and removing leave comments and other profiles as they are written."""
    path = profiles_path(home)
    words = ("profiles", "add", "local", "http://127.0.0.1:8080", "--use")
    offline.well(*words, XDG_CONFIG_HOME=home["XDG_CONFIG_HOME"])
    assert "# mine" in path.read_text()
    assert "# the team's" in path.read_text()
    assert load_profiles(path).default == "local"
    offline.well("profiles", "use", "work", XDG_CONFIG_HOME=home["XDG_CONFIG_HOME"])
    offline.well("profiles", "remove", "local", XDG_CONFIG_HOME=home["XDG_CONFIG_HOME"])
    assert path.read_text().strip() == FILE.strip()


def test_profiles_from_nothing(terminal: Terminal) -> None:
    """The first is the default; a command needs no address then; removing it leaves none."""
    url = terminal.environment.pop("SLACKWATER_URL")
    assert terminal("profiles", "add", "bad name", url).returncode == 2
    terminal.well("profiles", "add", "here", url, "--api-key-env", "HERE_KEY")
    terminal.well("batches", "list", HERE_KEY=KEY)
    (listed,) = json.loads(terminal.well("profiles", "list", "--json"))
    assert (listed["name"], listed["default"], listed["profile"]["url"]) == ("here", True, url)
    assert KEY not in (terminal.directory / "home/.config/slackwater/profiles.toml").read_text()
    unknown = terminal("batches", "list", "--profile", "there")
    assert (unknown.returncode, "no profile 'there'; there are here" in unknown.stderr) == (2, True)
    terminal.well("profiles", "remove", "here")
    assert terminal("profiles", "use", "here").returncode == 2
    assert terminal.well("profiles", "list") == ""
