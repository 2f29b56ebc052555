"""The files of `deploy/ray`: what they say fits the commands, the image, and what a worker needs."""

import itertools
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from slackwater import __version__
from slackwater.cli import COMMANDS, main
from slackwater.config import WorkerConfig, load
from slackwater.wiring.placing import checked
from tests.deploy.test_files import ENDING_SECONDS, KUBERNETES_VERSIONS

FOLDER = Path(__file__).parents[2] / "deploy" / "ray"
RAY = "2.60.0"


def document(name: str) -> Any:
    """The one document of a file."""
    return yaml.safe_load((FOLDER / name).read_text("utf-8"))


def pods() -> dict[str, Any]:
    """The pods of the cluster."""
    spec = document("cluster.yaml")["spec"]
    (group,) = spec["workerGroupSpecs"]
    return {"head": spec["headGroupSpec"]["template"]["spec"], "worker": group["template"]["spec"]}


def settings(pod: Any) -> dict[str, str]:
    return {each["name"]: each["value"] for each in pod["containers"][0]["env"]}


def test_the_head_takes_no_work_and_has_no_keys() -> None:
    """What ends with it would be more than it has to be; and whoever reaches it would have them."""
    spec = document("cluster.yaml")["spec"]
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert "envFrom" not in pods()["head"]["containers"][0]
    assert pods()["worker"]["containers"][0]["envFrom"] == [{"secretRef": {"name": "slackwater-keys"}}]


def test_everybody_shows_the_token_and_nothing_is_told_to_strangers() -> None:
    spec = document("cluster.yaml")["spec"]
    assert spec["authOptions"] == {"mode": "token", "secretName": "slackwater-ray"}
    assert {settings(each)["RAY_USAGE_STATS_ENABLED"] for each in pods().values()} == {"0"}
    up = document("up.yaml")["spec"]["template"]["spec"]["containers"][0]
    assert up["env"][0] == {"name": "RAY_AUTH_MODE", "value": "token"}
    assert up["env"][1]["valueFrom"]["secretKeyRef"] == {"name": "slackwater-ray", "key": "auth_token"}


def test_the_head_may_be_away() -> None:
    """What it knows is elsewhere, and nodes wait for it for longer than a pod takes to come back."""
    spec = document("cluster.yaml")["spec"]
    assert spec["gcsFaultToleranceOptions"]["redisAddress"]
    assert {int(settings(each)["RAY_gcs_rpc_server_reconnect_timeout_s"]) for each in pods().values()} == {600}


def test_a_worker_is_given_its_time() -> None:
    """Before Ray is told to end, which ends all that it runs at once."""
    assert pods()["worker"]["terminationGracePeriodSeconds"] >= WorkerConfig().grace_seconds + ENDING_SECONDS
    assert pods()["worker"]["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][-1].startswith(
        "slackwater down"
    )


def test_commands_exist() -> None:
    """With the options that they are given."""
    (line,) = re.findall(
        r"slackwater (\w+) ([^|]*)", pods()["worker"]["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][-1]
    )
    words = document("up.yaml")["spec"]["template"]["spec"]["containers"][0]["args"]
    for command, options in (line[0], line[1].split()), (words[1], words[2:]):
        assert command in COMMANDS
        said = CliRunner().invoke(main, [command, "--help"]).stdout
        assert [each for each in options if each.startswith("-") and each not in said] == []


def test_the_configuration_fits_several_machines() -> None:
    """It is one that `slackwater up` takes, at the place where the pods have it and their data."""
    checked(FOLDER / "slackwater.toml")
    config = load(FOLDER / "slackwater.toml", {"SLACKWATER_API_KEY": "k", "SLACKWATER_DATABASE_PASSWORD": "p"})
    mounts = {each["name"]: each["mountPath"] for each in pods()["worker"]["containers"][0]["volumeMounts"]}
    assert Path(config.server.data).is_relative_to(mounts["data"])
    (name,) = document("kustomization.yaml")["configMapGenerator"][0]["files"]
    up = document("up.yaml")["spec"]["template"]["spec"]["containers"][0]["args"]
    assert up[-1] == f"{mounts['config']}/{name}"


def test_every_place_names_the_same_versions() -> None:
    text = (FOLDER / "Containerfile").read_text("utf-8")
    assert document("cluster.yaml")["spec"]["rayVersion"] == RAY
    assert set(re.findall(r"\b2\.\d+\.\d+", text)) == {RAY}
    tags = {document("kustomization.yaml")["images"][0]["newTag"], *re.findall(r"slackwater(?:-ray)?:([\d.]+)", text)}
    assert tags == {__version__}


@pytest.mark.deploy
def test_objects_are_valid() -> None:
    """They build, with the image everywhere; pods have the shape that Kubernetes gives them, those of the cluster, too."""
    import kubernetes_validate

    built = subprocess.run(["kubectl", "kustomize", FOLDER], capture_output=True, text=True, timeout=60)
    assert built.returncode == 0, built.stderr
    found = {each["kind"]: each for each in yaml.safe_load_all(built.stdout)}
    spec = found.pop("RayCluster")["spec"]
    templates = [spec["headGroupSpec"]["template"], *(each["template"] for each in spec["workerGroupSpecs"])]
    images = {each["spec"]["containers"][0]["image"] for each in [*templates, found["Job"]["spec"]["template"]]}
    assert images == {f"slackwater-ray:{__version__}"}
    objects = [*found.values(), *({"apiVersion": "v1", "kind": "Pod", **each} for each in templates)]
    for each, version in itertools.product(objects, KUBERNETES_VERSIONS):
        kubernetes_validate.validate(each, version, strict=True)
