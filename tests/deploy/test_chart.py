"""The chart for Kubernetes: what Helm makes of it is valid, fits together, and keeps what docs/kubernetes.md promises."""

import itertools
import json
import os
import re
import subprocess
import sys
from typing import Any

import jsonschema
import pytest
import yaml

from slackwater import __version__
from slackwater.config import WorkerConfig, load
from tests.deploy.helm import CHART, CONFIGURED, helm, one, pods, refused, rendered
from tests.deploy.test_files import CONTAINERFILE, ENDING_SECONDS, KUBERNETES_VERSIONS

VALUES = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
SCHEMA = json.loads((CHART / "values.schema.json").read_text("utf-8"))
PAGE = (CHART.parents[2] / "docs" / "kubernetes.md").read_text("utf-8")
SECRETS = {"SLACKWATER_API_KEY": "k", "SLACKWATER_DATABASE_PASSWORD": "p"}
KEDA = ("worker.autoscaling.by=keda", "keda.host=db.internal")
# What somebody may choose; each is rendered and looked at.
CHOICES: dict[str, tuple[str, ...]] = {
    "as it comes": (),
    "servers that send, no workers": ("server.sends=true", "workers.default=null"),
    "two pools": (
        "workers.big.deployments={llama,team-a/qwen}",
        "workers.big.replicas=3",
        "workers.default.deployments={small}",
    ),
    "keda": (*KEDA, "worker.autoscaling.minReplicas=0", "workers.default.deployments={llama,team-a/qwen}"),
    "prometheus": ("worker.autoscaling.by=prometheus", "workers.default.deployments={llama,team-a/qwen}"),
    "prometheus, all deployments": ("worker.autoscaling.by=prometheus",),
    "watched": ("podMonitor.enabled=true", "podMonitor.labels.release=prometheus"),
    "locked up": (
        "networkPolicy.clients[0].podSelector.matchLabels.app=gateway",
        "networkPolicy.monitoring=null",
        "networkPolicy.egress[0].to[0].ipBlock.cidr=10.0.0.0/8",
    ),
    "everything else": (
        "data.existingClaim=batch-data",
        "imagePullSecrets={registry}",
        "fileSecrets={engine-key}",
        "env[0].name=HTTPS_PROXY",
        "env[0].value=http://proxy:3128",
        "serviceAccount.annotations.role=files",
        "service.type=LoadBalancer",
        "service.annotations.internal=yes",
        "podAnnotations.a=b",
        "podLabels.c=d",
        "priorityClassName=batch",
        "nodeSelector.disk=fast",
        "tolerations[0].operator=Exists",
        "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].key=metadata.name",
        "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].operator=In",
        "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].values={a}",
        "extraVolumes[0].name=ca",
        "extraVolumes[0].secret.secretName=ca",
        "extraVolumeMounts[0].name=ca",
        "extraVolumeMounts[0].mountPath=/etc/ca",
    ),
    "nothing besides": ("podDisruptionBudgets=false", "networkPolicy.enabled=false", "serviceAccount.create=false"),
}
# Models of objects that are not Kubernetes' own, packages in a place apart: one of them changes pytest where it is installed.
MODELS = {
    "keda.sh/v1alpha1": "cloudcoil.models.keda",
    "monitoring.coreos.com/v1": "cloudcoil.models.prometheus_operator",
}
MODELLED = """import importlib, json, sys
each = json.load(sys.stdin)
model = getattr(importlib.import_module(sys.argv[1]), each["kind"]).model_validate(each)
print(model.model_dump_json(by_alias=True, exclude_unset=True))"""
chosen = pytest.mark.parametrize("choice", CHOICES.values(), ids=CHOICES)


def as_modelled(document: dict[str, Any]) -> Any:
    """What its model has of an object: what that does not know is left out, and what is no value of it is refused."""
    module = f"{MODELS[document['apiVersion']]}.{document['apiVersion'].partition('/')[2]}"
    read = subprocess.run(
        [sys.executable, "-c", MODELLED, module],
        input=json.dumps(document),
        env=os.environ | {"PYTHONPATH": os.environ["SLACKWATER_MODELS"]},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert read.returncode == 0, read.stderr
    return json.loads(read.stdout)


def test_it_is_of_this_version() -> None:
    """Chart and image."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


def test_values_and_schema_are_the_same() -> None:
    """The values that it comes with are allowed; none is left out of the schema, and the schema has none besides."""
    jsonschema.validate(VALUES, SCHEMA)

    def differing(values: Any, schema: Any, path: str = "") -> list[str]:
        if "properties" not in schema:
            return []
        # `global` is Helm's own.
        names = set(schema["properties"]) - {"global"}
        here = [f"{path}.{name}" for name in names ^ set(values)]
        return here + [
            each for name in names & set(values) for each in differing(values[name], schema["properties"][name], name)
        ]

    assert differing(VALUES, SCHEMA) == []
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"server": {"replica": 3}}, SCHEMA)


def test_every_value_is_used() -> None:
    """And none is asked for that is not there."""
    text = "".join(path.read_text("utf-8") for path in (CHART / "templates").rglob("*") if path.is_file())
    asked = set(re.findall(r"\.Values\.(\w+)", text))
    assert asked == set(VALUES)


def test_its_configuration_can_be_served(tmp_path: Any) -> None:
    """The one that it comes with is one that a cluster starts with, once the secrets are there."""
    file = tmp_path / "slackwater.toml"
    file.write_text(VALUES["config"])
    assert load(file, SECRETS).database.startswith("postgresql://")
    command = [sys.executable, "-m", "slackwater", "check-config", str(file)]
    checked = subprocess.run(command, env=SECRETS, capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.deploy
def test_it_is_linted() -> None:
    """Strictly: a warning is a fault."""
    linted = helm("lint", "--strict", str(CHART))
    assert linted.returncode == 0, linted.stdout


@pytest.mark.deploy
@chosen
def test_every_object_is_valid(choice: tuple[str, ...]) -> None:
    """By Kubernetes' own schemas of several versions; those of KEDA and of Prometheus' operator by models of theirs."""
    import kubernetes_validate

    documents = rendered(*choice)
    for each in documents:
        if each["apiVersion"] in MODELS:
            assert as_modelled(each) == each
            continue
        for version in KUBERNETES_VERSIONS:
            kubernetes_validate.validate(each, version, strict=True)
    names = [(each["kind"], each["metadata"]["name"]) for each in documents]
    assert len(names) == len(set(names))


@pytest.mark.deploy
@chosen
def test_selectors_find_their_pods_and_no_others(choice: tuple[str, ...]) -> None:
    """Each Deployment its own, budgets and policies one kind, the service the servers. A claim and an account that pods name
    are there, or are said to be."""
    documents = rendered(*choice)
    labels = {name: pod["metadata"]["labels"] for name, pod in pods(documents).items()}

    def found(selector: dict[str, Any]) -> set[str]:
        return {name for name, those in labels.items() if selector.items() <= those.items()}

    servers = {"batch-slackwater-server"}
    workers = set(labels) - servers
    for each in documents:
        spec, name = each.get("spec", {}), each["metadata"]["name"]
        if each["kind"] in ("Deployment", "PodDisruptionBudget"):
            assert found(spec["selector"]["matchLabels"]) == {name}
        elif each["kind"] == "Service":
            assert found(spec["selector"]) == servers
        elif each["kind"] == "NetworkPolicy":
            wanted = {"server": servers, "worker": workers, "egress": set(labels)}[name.rpartition("-")[2]]
            assert found(spec["podSelector"]["matchLabels"]) == wanted
        elif each["kind"] in ("ScaledObject", "HorizontalPodAutoscaler"):
            assert spec["scaleTargetRef"]["name"] == name
            assert name in workers
            # Whoever scales says how many there are: an upgrade of the release must not.
            assert "replicas" not in one(documents, "Deployment", name.removeprefix("batch-slackwater"))["spec"]
    accounts = {each["metadata"]["name"] for each in documents if each["kind"] == "ServiceAccount"} or {"default"}
    claims = {each["metadata"]["name"] for each in documents if each["kind"] == "PersistentVolumeClaim"} or {
        "batch-data"
    }
    for pod in pods(documents).values():
        assert {pod["spec"]["serviceAccountName"]} == accounts
        volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
        assert {volumes["data"]["persistentVolumeClaim"]["claimName"]} == claims
        assert {each["name"] for each in pod["spec"]["containers"][0]["volumeMounts"]} == set(volumes)


@pytest.mark.deploy
@chosen
def test_pods_have_no_rights(choice: tuple[str, ...]) -> None:
    """What the level "restricted" of Kubernetes asks for; nobody writes to the root file system. Secrets are only named."""
    documents = rendered(*choice)
    test = one(documents, "Pod", "-doctor")
    for spec in [test["spec"], *(pod["spec"] for pod in pods(documents).values())]:
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        (container,) = spec["containers"]
        (user,) = re.findall(r"^USER (\d+):\d+$", CONTAINERFILE.read_text("utf-8"), re.MULTILINE)
        assert str(spec["securityContext"]["runAsUser"]) == user
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["envFrom"] == [{"secretRef": {"name": "slackwater-keys"}}]
    assert not [each for each in documents if each["kind"] == "Secret"]


@pytest.mark.deploy
@pytest.mark.parametrize("grace", [None, 20, 0.5, 300])
def test_a_stop_is_given_its_time(grace: float | None) -> None:
    """Kubernetes waits longer than the drain, the calls in flight (as the configuration has it) and what is left after them."""
    config = '[server]\ndatabase = "postgresql://db"\n' + (f"[worker]\ngrace_seconds = {grace}\n" if grace else "")
    needed = (grace or WorkerConfig().grace_seconds) + ENDING_SECONDS
    for name, pod in pods(rendered(f"config={config}", "server.drainSeconds=45")).items():
        drain = 0
        if name.endswith("-server"):
            drain = pod["spec"]["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
            assert drain == 45
        assert pod["spec"]["terminationGracePeriodSeconds"] >= needed + drain


@pytest.mark.deploy
@chosen
def test_an_upgrade_never_has_fewer(choice: tuple[str, ...]) -> None:
    """A new pod is ready before an old one goes; and who is asked whether it is ready is whoever is there."""
    for deployment in (each for each in rendered(*choice) if each["kind"] == "Deployment"):
        assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        (port,) = container["ports"]
        asked = {probe: container[probe]["httpGet"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
        assert {each["port"] for each in asked.values()} == {port["name"]}
        assert asked["readinessProbe"]["path"] == "/readyz"
        assert asked["startupProbe"]["path"] == asked["livenessProbe"]["path"] == "/healthz"
        listens = next(word for word in container["args"] if word.startswith(("--port=", "--listen=")))
        assert listens.endswith(str(port["containerPort"]))


@pytest.mark.deploy
def test_a_change_of_the_configuration_makes_new_pods() -> None:
    """And nothing else of the pods changes."""
    other = '[server]\ndatabase = "postgresql://elsewhere"\n'
    for before, after in zip(pods(rendered()).values(), pods(rendered(f"config={other}")).values(), strict=True):
        assert (
            before["metadata"]["annotations"].keys() == after["metadata"]["annotations"].keys() == {"slackwater/config"}
        )
        assert before["metadata"]["annotations"] != after["metadata"]["annotations"]
        assert before["spec"] == after["spec"]


@pytest.mark.deploy
def test_what_cannot_be_is_refused_in_words() -> None:
    """Before anything is applied. Where it is the schema that refuses, the words are Helm's."""
    for values, words in (
        (("server.replica=3",), "replica"),
        (("workers.default=null",), "nobody would send: name a pool in workers, or set server.sends"),
        (("config=[server",), "config is not TOML"),
        (("config=[server]\nport = 1\n",), "name [server] database"),
        (("worker.autoscaling.by=keda",), "keda.host"),
        (("worker.autoscaling.minReplicas=9",), "minReplicas is more than maxReplicas"),
        (("workers.default.deployments={a'b}",), "not match pattern"),
        (
            ("workers.default.deployments={demo-batch,lama}",),
            "workers.default names the deployment lama, and config has none that is called so; it has demo-batch",
        ),
        (("worker.deployments={team-a/demo-batch}",), "workers.default names the deployment team-a/demo-batch"),
    ):
        assert words in refused(*values), values


@pytest.mark.deploy
def test_a_pool_may_name_what_the_api_has_made() -> None:
    """Where it may make deployments, the configuration has not all of them."""
    config = VALUES["config"] + '[control_plane]\nbackend_hosts = ["engine"]\n'
    done = helm(
        "template",
        "batch",
        str(CHART),
        "--set-json",
        f"config={json.dumps(config)}",
        "--set",
        "worker.deployments={made}",
    )
    assert "--deployments=made" in done.stdout, done.stderr


@pytest.mark.deploy
def test_the_examples_of_the_page() -> None:
    """The Ingress is valid and finds the service; the pools are those that the page says."""
    import kubernetes_validate

    (text,) = re.findall(r"^```yaml\n(.+?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    ingress = yaml.safe_load(text)
    for version in KUBERNETES_VERSIONS:
        kubernetes_validate.validate(ingress, version, strict=True)
    service = ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    documents = rendered()
    assert service["name"] == "batch-slackwater"
    assert service["port"]["name"] in {each["name"] for each in one(documents, "Service", "")["spec"]["ports"]}
    (lines,) = re.findall(r"^      workers:\n(?:      .*\n)+", PAGE, re.MULTILINE)
    workers = json.dumps(yaml.safe_load(lines)["workers"])
    pools = helm("template", "batch", str(CHART), "--set-json", f"workers={workers}", *CONFIGURED)
    made = pods(tuple(each for each in yaml.safe_load_all(pools.stdout) if each))
    assert set(made) == {"batch-slackwater-server", "batch-slackwater-worker-large", "batch-slackwater-worker-small"}


@pytest.mark.deploy
def test_every_command_exists() -> None:
    """With these options."""
    containers = [
        pod["spec"]["containers"][0] for pod in pods(rendered("workers.default.deployments={llama}")).values()
    ]
    containers += one(rendered(), "Pod", "-doctor")["spec"]["containers"]
    for command, *options in (each["args"] for each in containers):
        asked = [sys.executable, "-m", "slackwater", command, "--help"]
        known = subprocess.run(asked, capture_output=True, text=True, timeout=60).stdout
        assert [each for each in options if each.partition("=")[0] not in known] == []


def noted(*options: str) -> str:
    """What Helm tells whoever has installed it."""
    said = helm("install", "batch", str(CHART), "--dry-run=client", *options)
    if "cluster unreachable" in said.stderr:
        pytest.skip("Helm 3 asks a cluster even for this; Helm 4 does not")
    assert said.returncode == 0, said.stderr
    return said.stdout.partition("NOTES:")[2]


@pytest.mark.deploy
def test_the_notes_name_what_is_needed() -> None:
    """Every variable that the configuration names, and as many connections as there may be members."""
    config = VALUES["config"] + '[[deployments.backends]]\nurl = "http://engine:8000/v1"\napi_key_env = "ENGINE_KEY"\n'
    notes = noted("--set", f"config={config}", "--set", "server.replicas=3")
    assert all(name in notes for name in (*SECRETS, "ENGINE_KEY"))
    # Three servers, two workers, and one of each that comes in an upgrade.
    assert "let 63 connections in" in notes
    assert "Nobody sends" not in notes


@pytest.mark.deploy
def test_the_notes_name_deployments_that_no_pool_has() -> None:
    """By the name that a pool would have to have; where a pool or the servers send for all, there is none."""
    config = '[server]\ndatabase = "postgresql://db"\n' + "".join(
        f'[[deployments]]\nname = "{name}"\n{resource}[[deployments.backends]]\necho = {{}}\n'
        for name, resource in (("llama", ""), ("qwen", ""), ("qwen", 'resource = "team-a"\n'))
    )
    given = ("--set", f"config={config}")
    some = ("--set", "workers.default.deployments={llama}")
    said = re.findall(r"^Nobody sends for (\S+):", noted(*given, *some), re.MULTILINE)
    assert said == ["qwen", "team-a/qwen"]
    for all_of_them in ((), (*some, "--set", "server.sends=true"), (*some, "--set", "workers.other.replicas=1")):
        assert "Nobody sends" not in noted(*given, *all_of_them)


@pytest.mark.deploy
def test_nothing_is_a_word_of_a_pool_too() -> None:
    """None, or none for all deployments, is not the same as not to say it."""
    pool = {"replicas": 0, "deployments": []}
    usual = ("worker.replicas=5", "worker.deployments={llama}")
    made = one(rendered(*usual), "Deployment", "-worker-default")
    assert made["spec"]["replicas"] == 5
    values = [word for value in usual for word in ("--set", value)]
    done = helm(
        "template", "batch", str(CHART), *values, "--set-json", f"workers.default={json.dumps(pool)}", *CONFIGURED
    )
    made = one(tuple(each for each in yaml.safe_load_all(done.stdout) if each), "Deployment", "-worker-default")
    assert made["spec"]["replicas"] == 0
    (container,) = made["spec"]["template"]["spec"]["containers"]
    assert not [word for word in container["args"] if word.startswith("--deployments")]
    idle = rendered(*KEDA, "worker.autoscaling.minReplicas=2", "workers.default.autoscaling.minReplicas=0")
    assert one(idle, "ScaledObject", "-worker-default")["spec"]["minReplicaCount"] == 0


@pytest.mark.deploy
def test_pools_are_what_they_say_or_what_all_are() -> None:
    """A pool's own word counts, and what it leaves out is that of `worker`."""
    documents = rendered("workers.big.deployments={llama,team-a/qwen}", "workers.big.replicas=3", "worker.replicas=5")
    big, usual = one(documents, "Deployment", "-worker-big"), one(documents, "Deployment", "-worker-default")
    assert (big["spec"]["replicas"], usual["spec"]["replicas"]) == (3, 5)
    args = {
        each["metadata"]["name"]: each["spec"]["template"]["spec"]["containers"][0]["args"] for each in (big, usual)
    }
    only = {name: [word for word in those if word.startswith("--deployments")] for name, those in args.items()}
    assert list(only.values()) == [["--deployments=llama,team-a/qwen"], []]
    resources = [each["spec"]["template"]["spec"]["containers"][0]["resources"] for each in (big, usual)]
    assert resources == list(itertools.repeat(VALUES["worker"]["resources"], 2))
