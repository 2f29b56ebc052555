"""The compose file of a cluster: it fits the proxy's file and the command line, and its members become one cluster."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from slackwater import __version__
from slackwater.config import WorkerConfig, load
from slackwater.config.reading import LOOPBACK
from tests.postgresql import Databases
from tests.server import Server

CONTAINER = Path(__file__).parents[2] / "deploy" / "container"
PROXY = Path(__file__).parents[2] / "deploy" / "proxy" / "haproxy.cfg"
SECRETS = {"SLACKWATER_API_KEY": "a-key", "SLACKWATER_DATABASE_PASSWORD": "a-password"}
# What is left of a stop after the calls in flight: answers that are being written, and the ledger's last words.
ENDING_SECONDS = 10


def services() -> Any:
    """What the file starts."""
    return yaml.safe_load((CONTAINER / "cluster.yaml").read_text("utf-8"))["services"]


def members() -> dict[str, Any]:
    """Those that are ours."""
    return {name: each for name, each in services().items() if each["image"].startswith("slackwater:")}


def test_members_are_what_they_are_called() -> None:
    """Two of each, one data directory and one configuration; nothing to write to but those and /tmp; time for a stop."""
    assert {name: each["command"][0] for name, each in members().items()} == {
        "server-1": "serve",
        "server-2": "serve",
        "worker-1": "worker",
        "worker-2": "worker",
    }
    for each in members().values():
        assert each["volumes"] == ["data:/data", "./cluster.toml:/etc/slackwater/slackwater.toml:ro"]
        assert (each["read_only"], each["cap_drop"], each["image"]) == (True, ["ALL"], f"slackwater:{__version__}")
        assert int(each["stop_grace_period"].removesuffix("s")) >= WorkerConfig().grace_seconds + ENDING_SECONDS
        # Whoever reaches no database at its start ends, and comes back.
        assert each["restart"] == "unless-stopped"


def test_the_proxy_knows_the_servers() -> None:
    """By their names and the port that the image has."""
    named = re.findall(r"^    server (\S+) (\S+):8080$", PROXY.read_text("utf-8"), re.MULTILINE)
    assert {name for name, _ in named} == {name for name in members() if name.startswith("server-")}
    assert all(name == host for name, host in named)


def test_the_configuration_can_be_served() -> None:
    """Others reach it, with a key; its database is the one of the file, and its data where the volume is."""
    config = load(CONTAINER / "cluster.toml", SECRETS)
    assert config.server.host not in LOOPBACK
    assert config.server.data.startswith("/data/")
    assert config.server.database == "postgresql://slackwater@database/slackwater"
    variables = set(re.findall(r"\$\{(\w+)", (CONTAINER / "cluster.yaml").read_text("utf-8")))
    assert variables == {*config.server.api_key_envs, config.server.database_password_env}
    made = services()["database"]["environment"]
    assert (made["POSTGRES_USER"], made["POSTGRES_DB"]) == ("slackwater", "slackwater")


def compose() -> list[str]:
    """Docker's, in either of its forms. None needs a daemon for this."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) and subprocess.run([*command, "version"], capture_output=True).returncode == 0:
            return command
    raise AssertionError("docker compose is needed: apt-get install docker-compose, or as your system has it")


@pytest.mark.deploy
@pytest.mark.parametrize("file", ["cluster.yaml", "compose.yaml"])
def test_compose_takes_it_and_asks_for_secrets(file: str) -> None:
    """Docker's own reading of it is well; without the variables nothing starts."""
    command = [*compose(), "--file", str(CONTAINER / file), "config"]
    without = {name: value for name, value in os.environ.items() if name not in SECRETS}
    read = subprocess.run(command, capture_output=True, text=True, timeout=60, env=without | SECRETS)
    assert read.returncode == 0, read.stderr
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60, env=without)
    assert refused.returncode != 0
    assert "set it to the key that callers must have" in refused.stderr


@pytest.mark.deploy
@pytest.mark.timeout(120)
def test_they_become_a_cluster(tmp_path: Path, postgresql: Databases) -> None:
    """Each started as the file has it, but for addresses and places of this machine."""
    config = tmp_path / "slackwater.toml"
    text = (CONTAINER / "cluster.toml").read_text("utf-8")
    config.write_text(
        text.replace("postgresql://slackwater@database/slackwater", postgresql.new())
        .replace("/data/slackwater", str(tmp_path / "data"))
        .replace("0.0.0.0", "127.0.0.1")
    )
    started = []
    try:
        for name, each in members().items():
            command, *options = (word.replace("0.0.0.0:9091", "127.0.0.1:0") for word in each["command"])
            assert options[:2] == ["--config", "/etc/slackwater/slackwater.toml"]
            listens = ["--port", "0"] if command == "serve" else []
            started.append(
                Server(
                    config,
                    tmp_path / "data",
                    tmp_path / f"{name}.log",
                    SECRETS,
                    module=("slackwater", command),
                    options=[*options[2:], *listens],
                )
            )
        listed = subprocess.run(
            [sys.executable, "-m", "slackwater", "members", "--config", str(config), "--json"],
            capture_output=True,
            text=True,
            timeout=60,
            env=os.environ | SECRETS,
        )
        assert listed.returncode == 0, listed.stderr
        assert sorted(each["kind"] for each in json.loads(listed.stdout)["data"]) == [*["api"] * 2, *["worker"] * 2]
    finally:
        for each in started:
            each.kill()
