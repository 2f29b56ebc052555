"""The chart of deploy/helm, rendered by Helm itself."""

import functools
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "slackwater"
RELEASE = "batch"
# A configuration with the deployments that pools are given here.
CONFIG = '[server]\ndatabase = "postgresql://db/slackwater"\n[[resources]]\nname = "team-a"\n' + "".join(
    f'[[deployments]]\nname = "{name}"\n{resource}[[deployments.backends]]\necho = {{}}\n'
    for name, resource in (
        *((name, "") for name in ("llama", "small", "crash", "llama-batch", "qwen-batch")),
        *((name, 'resource = "team-a"\n') for name in ("qwen",)),
    )
)
CONFIGURED = ("--set-json", f"config={json.dumps(CONFIG)}")


def program() -> str:
    """Helm: the one that `make test-deploy` brings, or the machine's own."""
    found = os.environ.get("SLACKWATER_HELM") or shutil.which("helm")
    assert found is not None, (
        "helm is needed: run make test-deploy, which installs it, or name yours with SLACKWATER_HELM"
    )
    return found


def helm(*words: str) -> subprocess.CompletedProcess[str]:
    """A command of Helm; none of these asks a cluster."""
    return subprocess.run([program(), *words], capture_output=True, text=True, timeout=60)


@functools.cache
def rendered(*values: str) -> tuple[dict[str, Any], ...]:
    """What is applied with these values (`--set` has them), hooks included."""
    options = [word for value in values for word in ("--set", value)]
    if any("deployments=" in value for value in values):
        options += CONFIGURED
    done = helm("template", RELEASE, str(CHART), *options)
    assert done.returncode == 0, done.stderr
    return tuple(each for each in yaml.safe_load_all(done.stdout) if each)


def refused(*values: str) -> str:
    """What Helm says of values that cannot be."""
    options = [word for value in values for word in ("--set", value)]
    done = helm("template", RELEASE, str(CHART), *options)
    assert done.returncode != 0
    return done.stderr


def one(documents: tuple[dict[str, Any], ...], kind: str, name: str) -> Any:
    """The object of a kind and name, without the release's."""
    (found,) = (
        each for each in documents if each["kind"] == kind and each["metadata"]["name"] == f"{RELEASE}-slackwater{name}"
    )
    return found


def pods(documents: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    """The pod of each Deployment: metadata and spec, by the name of the Deployment."""
    return {each["metadata"]["name"]: each["spec"]["template"] for each in documents if each["kind"] == "Deployment"}
