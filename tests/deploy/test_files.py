"""The files of `deploy/`: what they say fits the server and each other; with the tools of each system, that they are valid."""

import itertools
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from slackwater import __version__
from slackwater.cli import COMMANDS
from slackwater.config import WorkerConfig, load
from slackwater.config.reading import LOOPBACK

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = DEPLOY / "systemd"
CONTAINERFILE = DEPLOY / "container" / "Containerfile"
# Which units each file of additions says that it is for.
DROP_INS = {
    "shared-directory.conf": ("slackwater.service", "slackwater-worker@.service", "slackwater-backup.service"),
    "backup-postgresql.conf": ("slackwater-backup.service",),
}
# What is left of a stop after the calls in flight: answers that are being written, and the ledger's last words.
ENDING_SECONDS = 10
KUBERNETES_VERSIONS = ("1.31", "1.34", "1.37")


def unit(name: str) -> dict[str, list[str]]:
    """The settings of a unit, each with all its values."""
    lines = (UNITS / name).read_text("utf-8").splitlines()
    pairs = [line.split("=", 1) for line in lines if "=" in line and not line.startswith("#")]
    return {key: [value for other, value in pairs if other == key] for key, _ in pairs}


def documents(path: Path) -> list[dict[str, Any]]:
    """The documents of a YAML file."""
    return [each for each in yaml.safe_load_all(path.read_text("utf-8")) if each]


def pod() -> Any:
    """What the StatefulSet makes."""
    return documents(DEPLOY / "kubernetes" / "statefulset.yaml")[0]["spec"]["template"]["spec"]


def compose() -> Any:
    """The service of the compose file."""
    return documents(DEPLOY / "container" / "compose.yaml")[0]["services"]["slackwater"]


def test_a_stop_is_given_its_time() -> None:
    """Whoever stops the server waits longer than the server waits for calls in flight."""
    needed = WorkerConfig().grace_seconds + ENDING_SECONDS
    for name in ("slackwater.service", "slackwater-worker@.service"):
        (seconds,) = unit(name)["TimeoutStopSec"]
        assert int(seconds) >= needed
    before = pod()["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod()["terminationGracePeriodSeconds"] >= needed + before
    assert int(compose()["stop_grace_period"].removesuffix("s")) >= needed


def test_an_outage_at_the_start_leaves_nothing_failed() -> None:
    """Who cannot reach its ledger ends with 1 and is started again, however often; a wrong configuration ends with 2 for good."""
    for name in ("slackwater.service", "slackwater-worker@.service"):
        said = unit(name)
        assert said["StartLimitIntervalSec"] == ["0"]
        assert "StartLimitBurst" not in said
        assert (said["Restart"], said["RestartPreventExitStatus"]) == (["on-failure"], ["2"])
        # A crash at every start takes a second of a processor.
        assert int(said["RestartSec"][0]) >= 5
        assert "postgresql.service" in said["After"][0].split()
        # It is not pulled in where it is elsewhere, and its end is not ours.
        assert not {"Requires", "BindsTo", "PartOf"} & set(said)


def test_every_command_exists() -> None:
    """Units, image and manifests call commands with options that the command line has."""
    lines = [shlex.split(line)[1:] for name in UNITS.glob("*.service") for line in unit(name.name)["ExecStart"]]
    text = CONTAINERFILE.read_text("utf-8")
    lines += [json.loads(words)[1:] for words in re.findall(r"HEALTHCHECK .*CMD (\[.*\])", text)]
    lines += [json.loads(words) for words in re.findall(r"^CMD (\[.*\])", text, re.MULTILINE)]
    lines.append(pod()["containers"][0]["args"])
    assert len(lines) == 6
    for command, *options in lines:
        assert command in COMMANDS
        asked = subprocess.run(
            [sys.executable, "-m", "slackwater", command, "--help"], capture_output=True, text=True, timeout=60
        )
        missing = [option for option in options if option.startswith("--") and option not in asked.stdout]
        assert missing == []


def test_configurations_can_be_served() -> None:
    """They listen where others reach them, and have a key."""
    for place in ("container", "kubernetes"):
        config = load(DEPLOY / place / "slackwater.toml", {"SLACKWATER_API_KEY": "k"})
        assert config.server.host not in LOOPBACK
        assert config.api_keys == ("k",)


def test_one_writer_and_no_privileges() -> None:
    """One pod, whose volume no other can have; no root, nothing to write to but the data and /tmp."""
    stateful = documents(DEPLOY / "kubernetes" / "statefulset.yaml")[0]["spec"]
    assert stateful["replicas"] == 1
    assert stateful["volumeClaimTemplates"][0]["spec"]["accessModes"] == ["ReadWriteOncePod"]
    assert pod()["securityContext"]["runAsNonRoot"] is True
    assert pod()["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    (user,) = re.findall(r"^USER (\d+):\d+$", CONTAINERFILE.read_text("utf-8"), re.MULTILINE)
    assert str(pod()["securityContext"]["runAsUser"]) == user == compose()["user"].split(":")[0]
    assert compose()["read_only"] is True


def test_every_place_names_this_version() -> None:
    """The image that is built is the image that is run."""
    kustomization = documents(DEPLOY / "kubernetes" / "kustomization.yaml")[0]
    tags = {kustomization["images"][0]["newTag"], compose()["image"].split(":")[1]}
    tags |= set(re.findall(r"--tag slackwater:(\S+)", CONTAINERFILE.read_text("utf-8")))
    assert tags == {__version__}


@pytest.mark.deploy
def test_units_are_valid(tmp_path: Path) -> None:
    """systemd takes them (with the programs where they are here), and finds little that is exposed."""
    _judge(_placed(tmp_path))


@pytest.mark.deploy
def test_units_with_what_a_cluster_adds_are_valid(tmp_path: Path) -> None:
    """With each file of additions where it says that it goes."""
    units = _placed(tmp_path)
    for name, those in DROP_INS.items():
        text = (UNITS / name).read_text("utf-8")
        for each in those:
            assert each in text or f"{each}.d" in text
            folder = tmp_path / f"{each}.d"
            folder.mkdir(exist_ok=True)
            (folder / name).write_text(text.replace("ExecStart=pg_dump", "ExecStart=true"))
    _judge(units)


def lines_of_systemd_run() -> list[list[str]]:
    """What pages tell people to run in the place of a unit, in words."""
    pages = sorted((DEPLOY.parent / "docs").glob("*.md"))
    text = "\n".join(page.read_text("utf-8") for page in pages).replace("\\\n", " ")
    return [shlex.split(line) for line in re.findall(r"^ +systemd-run (.+)$", text, re.MULTILINE)]


@pytest.mark.deploy
@pytest.mark.parametrize("words", lines_of_systemd_run(), ids=" ".join)
def test_what_pages_run_by_systemd_is_valid(tmp_path: Path, words: list[str]) -> None:
    """It takes each property, as those of a unit; and the command line takes what is called."""
    assert words[:2] == ["--pipe", "--wait"]
    words, settings = words[2:], []
    while words[0] == "-p":
        settings.append(words[1])
        words = words[2:]
    assert words[0] == "/opt/slackwater/bin/slackwater"
    # A unit of the same name is not to be in its way.
    transient = tmp_path / "page.service"
    program = Path(sys.executable).with_name("slackwater")
    transient.write_text("\n".join(["[Service]", *settings, f"ExecStart={shlex.join([str(program), *words[1:]])}", ""]))
    verified = subprocess.run(["systemd-analyze", "verify", transient], capture_output=True, text=True, timeout=60)
    assert (verified.returncode, verified.stderr) == (0, "")
    here = [
        word.replace("/etc/slackwater", str(tmp_path)).replace("/var/lib/slackwater", str(tmp_path)) for word in words
    ]
    said = subprocess.run([program, *here[1:]], capture_output=True, text=True, timeout=60)
    assert "No such option" not in said.stderr
    assert "Usage:" not in said.stderr


@pytest.mark.deploy
def test_the_mount_of_the_page_is_waited_for(tmp_path: Path) -> None:
    """systemd tries it for as long as it takes, and does not hold up the boot: what the page says of `bg`."""
    page = (DEPLOY.parent / "docs" / "shared-directory.md").read_text("utf-8")
    (line,) = re.findall(r"^    (\S+ +/var/lib/slackwater +nfs4 .+)$", page, re.MULTILINE)
    table = tmp_path / "fstab"
    table.write_text(line + "\n")
    generator = ["/usr/lib/systemd/system-generators/systemd-fstab-generator", *[str(tmp_path)] * 3]
    subprocess.run(generator, check=True, env={"SYSTEMD_FSTAB": str(table)}, timeout=60)
    mount = (tmp_path / "var-lib-slackwater.mount").read_text("utf-8")
    assert "TimeoutSec=infinity" in mount
    assert "retry=10000" in mount
    assert not (tmp_path / "remote-fs.target.requires" / "var-lib-slackwater.mount").exists()


def _placed(place: Path) -> list[str]:
    program = Path(sys.executable).with_name("slackwater")
    for path in UNITS.iterdir():
        if path.suffix != ".conf":
            (place / path.name).write_text(
                path.read_text("utf-8").replace("/opt/slackwater/bin/slackwater", str(program))
            )
    return sorted(str(path) for path in place.iterdir())


def _judge(units: list[str]) -> None:
    verified = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, timeout=60)
    assert (verified.returncode, verified.stderr) == (0, "")
    for each in units:
        if each.endswith(".service"):
            # In tenths: 2.0 of 10, where a unit without any protection has 9.6.
            command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", each]
            judged = subprocess.run(command, capture_output=True, text=True, timeout=60)
            assert judged.returncode == 0, judged.stdout


@pytest.mark.deploy
def test_manifests_are_valid(tmp_path: Path) -> None:
    """They build, every object has the shape that Kubernetes gives it, and every selector finds the pod."""
    import kubernetes_validate

    place = tmp_path / "kubernetes"
    shutil.copytree(DEPLOY / "kubernetes", place)
    plain = _built(place)
    path = place / "kustomization.yaml"
    path.write_text(path.read_text("utf-8").replace("# components:\n#   - monitoring", "components:\n  - monitoring"))
    monitored = _built(place)
    assert [each["kind"] for each in monitored if each not in plain] == ["ServiceMonitor"]
    for each, version in itertools.product(plain, KUBERNETES_VERSIONS):
        kubernetes_validate.validate(each, version, strict=True)
    by_kind = {each["kind"]: each["spec"] for each in plain if "spec" in each}
    labels = by_kind["StatefulSet"]["template"]["metadata"]["labels"]
    selectors = [each["spec"]["selector"] for each in plain if each["kind"] == "Service"]
    selectors += [by_kind[kind]["selector"]["matchLabels"] for kind in ("StatefulSet", "PodDisruptionBudget")]
    assert len(selectors) == 4
    assert all(selector and selector.items() <= labels.items() for selector in selectors)


def _built(place: Path) -> list[dict[str, Any]]:
    built = subprocess.run(["kubectl", "kustomize", str(place)], capture_output=True, text=True, timeout=60)
    assert built.returncode == 0, built.stderr
    return [each for each in yaml.safe_load_all(built.stdout) if each]


@pytest.mark.deploy
def test_the_containerfile_is_valid() -> None:
    """The checker that editors use finds nothing."""
    command = ["npx", "--yes", "dockerfile-utils@0.16.3", "lint", str(CONTAINERFILE)]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert (checked.returncode, checked.stdout.strip()) == (0, ""), checked.stderr
