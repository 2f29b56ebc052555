"""Deployments in the configuration, in either spelling, and those that bodies of the API ask for."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from slackwater.adapters.system_clock import SystemClock
from slackwater.config import Config, load, may_stream, ordered_deployment
from slackwater.config.deployments import assumed_quotas, takes_forms
from slackwater.config.engines import limits_of, unequal_numbers
from slackwater.config.sections import CONCURRENCY, ControlPlaneConfig
from slackwater.core.endpoints import USUAL
from slackwater.core.errors import ConfigError
from slackwater.core.sending.deployment import Deployment
from slackwater.core.sending.pace import PACED_CONCURRENCY
from slackwater.core.sending.rate_limits import Told
from slackwater.wiring import deployment_record
from slackwater.wiring.engines import Engines, told_of
from tests.test_config import faults

OURS = """
[[deployments]]
name = "a"
model = "gpt-4o"
version = "2024-08-06"
sku = "data-zone-batch"
data_zone = "eu"
capacity = 250
dynamic_quota = true
version_upgrade_option = "NoAutoUpgrade"
[[deployments.backends]]
url = "http://127.0.0.1:1/v1"
region = "swedencentral"
data_zone = "eu"
[[deployments.backends]]
url = "http://127.0.0.1:2/v1"
region = "eastus"
data_zone = "us"
"""
AZURES = """
[[deployments]]
name = "a"
sku = { name = "DataZoneBatch", capacity = 250 }
[deployments.properties]
model = { format = "OpenAI", name = "gpt-4o", version = "2024-08-06" }
dynamicThrottlingEnabled = true
versionUpgradeOption = "NoAutoUpgrade"
dataZone = "eu"
[[deployments.properties.backends]]
url = "http://127.0.0.1:1/v1"
region = "swedencentral"
dataZone = "eu"
[[deployments.properties.backends]]
url = "http://127.0.0.1:2/v1"
region = "eastus"
dataZone = "us"
"""
ONE = '[[deployments]]\nname = "a"\n{}\n[[deployments.backends]]\necho = {{}}\n'


@pytest.mark.parametrize(
    ("deployment", "backend", "streams"),
    [
        ("", 'url = "http://engine:8000/v1"', True),
        ('stream = "auto"', 'url = "http://engine:8000/v1"\nstream = "auto"', True),
        ('stream = "never"', 'url = "http://engine:8000/v1"', False),
        ("", 'url = "http://engine:8000/v1"\nstream = "never"', False),
        # Nothing that could be streamed, and clouds whose steps tell nothing.
        ('endpoints = ["embeddings", "responses"]', 'url = "http://engine:8000/v1"', False),
        ('endpoints = ["embeddings", "/v1/completions"]', 'url = "http://engine:8000/v1"', True),
        ("", 'url = "https://api.openai.com/v1"', False),
        ("", 'url = "https://mine.openai.azure.com/openai/v1"', False),
        ("", "echo = {}", True),
    ],
)
def test_what_may_be_streamed(tmp_path: Path, deployment: str, backend: str, streams: bool) -> None:
    """Neither the deployment nor the backend says never, and there is a sense in it."""
    text = f'[[deployments]]\nname = "a"\n{deployment}\n[[deployments.backends]]\n{backend}\n'
    (found,) = loaded(tmp_path, text).deployments
    assert may_stream(found, found.backends[0]) is streams


def test_streams_are_automatic_or_never(tmp_path: Path) -> None:
    """Anything else is a fault, of a deployment and of a backend."""
    text = ONE.format('stream = "always"') + 'stream = "sometimes"\n'
    assert [fault.partition(": ")[2] for fault in faults(tmp_path, text)] == [
        "deployment 'a': stream must be 'auto' or 'never'",
        "deployment 'a' backend 1: stream must be 'auto' or 'never'",
    ]


def loaded(tmp_path: Path, text: str) -> Config:
    """A configuration without faults."""
    (tmp_path / "c.toml").write_text(text)
    return load(tmp_path / "c.toml", {"KEY": "secret"})


def record(tmp_path: Path, text: str) -> Deployment:
    """The only deployment of a configuration."""
    (deployment,) = loaded(tmp_path, text).deployments
    return deployment_record(deployment)


def test_both_spellings_say_the_same(tmp_path: Path) -> None:
    """Ours, and that of Azure's control plane; a deployment of a data zone uses no backend outside of it."""
    deployment = record(tmp_path, OURS)
    assert deployment == record(tmp_path, AZURES)
    assert (deployment.sku, deployment.enqueued_token_limit, deployment.dynamic_quota) == (
        "DataZoneBatch",
        250_000,
        True,
    )
    assert [backend.region for backend in deployment.backends] == ["swedencentral"]


@pytest.mark.parametrize(
    ("settings", "limit"),
    [
        ("", None),
        ("capacity = 30", 30_000),
        ("capacity = 30\nenqueued_token_limit = 7", 7),
        ('model = "gpt-4o"\nquota_tier = "default"', 200_000_000),
        ('model = "gpt-4o"\nquota_tier = "default"\ncapacity = 0', 0),
        ('model = "gpt-5-mini"\nquota_tier = "tier3"', 1_000_000_000),
        ('model = "gpt-4o"\nquota_tier = "student"', 0),
    ],
)
def test_limits_of_enqueued_tokens(tmp_path: Path, settings: str, limit: int | None) -> None:
    """As written, else by the capacity in thousands, else by the tier."""
    assert record(tmp_path, ONE.format(settings)).enqueued_token_limit == limit


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ('sku = "GlobalBach"', "there is no SKU 'GlobalBach'; did you mean 'GlobalBatch'?"),
        ('sku = { nam = "GlobalBatch" }', "sku: unknown setting 'nam'; did you mean 'name'?"),
        (
            'sku = { name = "GlobalBatch", capacity = 1 }\ncapacity = 2',
            "capacity is set already, as capacity; write it once",
        ),
        ('properties = { model = "gpt" }', "properties.model must be a table"),
        ("properties = { raiPolicy = 1 }", "properties: unknown setting 'raiPolicy'"),
        ('quota_tier = "gold"', "quota_tier: invalid enum value 'gold'"),
        ("capacity = -1", "capacity must not be negative"),
        ('sku = "DataZoneBatch"', "is DataZoneBatch, so it needs a data_zone"),
        ('sku = "DataZoneBatch"\ndata_zone = "eu"', "has no backend in the data zone 'eu'"),
        ('version_upgrade_option = "Never"', "version_upgrade_option must be OnceNewDefaultVersionAvailable"),
        ('properties = { raiPolicyName = "strict" }', "there is no content filter 'strict'"),
    ],
)
def test_faults(tmp_path: Path, settings: str, fault: str) -> None:
    """Each says what to do."""
    (found,) = faults(tmp_path, ONE.format(settings))
    assert fault in found


def test_what_is_assumed_of_quotas_is_said(tmp_path: Path) -> None:
    """With the deployment, the figure and what to do; nothing where the figure is Azure's, or the operator's own."""
    said = assumed_quotas(loaded(tmp_path, ONE.format('model = "o3"\nquota_tier = "tier2"')).deployments)
    assert len(said) == 2
    assert all(each.startswith("deployment 'a': Azure publishes no") for each in said)
    assert all(each.endswith("200,000,000 enqueued tokens; write enqueued_token_limit for another") for each in said)
    for settings in ('model = "gpt-5"\nquota_tier = "default"', 'model = "o3"\nquota_tier = "tier2"\ncapacity = 5', ""):
        assert assumed_quotas(loaded(tmp_path, ONE.format(settings)).deployments) == []


AT = '[[deployments]]\nname = "a"\n[[deployments.backends]]\nurl = "{}"\n{}\n'


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ('paths = { rerunk = "/v2/rerank" }', "paths: there is no endpoint 'rerunk'; did you mean 'rerank'?"),
        ('paths = { rerank = "v2/rerank" }', "paths: 'v2/rerank' must look like /v2/rerank"),
        ('paths = { rerank = "/v2/rerank?a=1" }', "must look like /v2/rerank"),
        ('paths = { rerank = "/a b" }', "must look like /v2/rerank"),
        ('forms = "multipart"', "forms must be 'auto', 'json' or 'form'"),
        ("video_seconds = 0", "video_seconds must be more than 0"),
    ],
)
def test_faults_of_endpoints_elsewhere(tmp_path: Path, settings: str, fault: str) -> None:
    """Each says what to do."""
    (found,) = faults(tmp_path, AT.format("http://127.0.0.1:1/v1", settings))
    assert fault in found


@pytest.mark.parametrize(
    ("url", "settings", "takes"),
    [
        ("http://127.0.0.1:1/v1", "", True),
        ("http://127.0.0.1:1/v1", 'forms = "json"', False),
        ("https://api.openai.com/v1", "", False),
        ("https://x.openai.azure.com/openai/v1", 'forms = "form"', True),
    ],
)
def test_who_takes_forms(tmp_path: Path, url: str, settings: str, takes: bool) -> None:
    """Engines, as OpenAI's clients ask; not the clouds, whose batches are in JSON, unless somebody says so."""
    (backend,) = loaded(tmp_path, AT.format(url, settings)).deployments[0].backends
    assert takes_forms(backend) is takes


def test_faults_of_places_and_of_the_control_plane(tmp_path: Path) -> None:
    """Regions are sent in headers; hosts are hosts; keys are in the environment."""
    text = '[server]\nregion = "a\\nb"\n[control_plane]\nbackend_hosts = ["http://x"]\nbackend_key_envs = ["GONE"]\n'
    text += 'capacity_max = -1\n[[resources]]\nname = "red"\nregion = "a, b"\n' + ONE.format("")
    found = "\n".join(faults(tmp_path, text.replace("echo = {}", 'echo = {}\nregion = "ä"')))
    for fault in (
        "[server]: region must be printable",
        "resource 'red': region must be",
        "'http://x' must be a host",
        "GONE is not set",
        "capacity_max must not be negative",
        "backend 1: region must be",
    ):
        assert fault in found


CONFIGURED = """
[control_plane]
backend_hosts = ["engine.example:8000"]
backend_key_envs = ["KEY"]
capacity_max = 1000
[[content_filters]]
name = "strict"
[[content_filters.blocklists]]
name = "words"
terms = ["secret"]
[[resources]]
name = "red"
[[deployments]]
name = "pool"
model = "gpt-4o"
when_full = "queue"
images = false
endpoints = ["chat/completions"]
enqueued_token_limit = 5000
rai_policy_name = "strict"
[[deployments.backends]]
url = "http://127.0.0.1:1/v1"
[[deployments]]
name = "reds"
resource = "red"
model = "llama"
[[deployments.backends]]
url = "http://127.0.0.1:2/v1"
"""


def ordered(tmp_path: Path, body: dict[str, Any], resource: str = "default") -> Deployment:
    """What a body makes."""
    config = loaded(tmp_path, CONFIGURED)
    return deployment_record(ordered_deployment(body, resource=resource, name="new", config=config))


def test_a_body_without_backends_uses_those_of_its_model(tmp_path: Path) -> None:
    """So a pasted body works as it is; what it does not say, a filter above all, is as it is there."""
    body = {
        "sku": {"name": "Global-Batch", "capacity": 250},
        "properties": {"model": {"format": "OpenAI", "name": "gpt-4o", "version": "2024-08-06"}},
    }
    made = ordered(tmp_path, body)
    assert (made.name, made.sku, made.enqueued_token_limit) == ("new", "GlobalBatch", 250_000)
    assert [backend.name for backend in made.backends] == ["http://127.0.0.1:1/v1"]
    assert (made.rai_policy_name, made.when_full.value, made.capabilities.images) == ("strict", "queue", False)
    body["properties"]["raiPolicyName"] = "Microsoft.DefaultV2"
    assert ordered(tmp_path, body).rai_policy_name == "strict"
    del body["sku"]
    assert ordered(tmp_path, body).enqueued_token_limit == 5_000


def test_backends_of_a_named_deployment(tmp_path: Path) -> None:
    """Under any model name; only deployments of the same resource can be named."""
    made = ordered(tmp_path, {"properties": {"model": {"name": "other"}, "backendsOf": "pool"}})
    assert (made.model, made.backends[0].name) == ("other", "http://127.0.0.1:1/v1")
    assert ordered(tmp_path, {"properties": {"backendsOf": "reds"}}, "red").model == "llama"
    with pytest.raises(ConfigError, match="Configured are: 'reds'"):
        ordered(tmp_path, {"properties": {"backendsOf": "pool"}}, "red")


def test_backends_of_its_own(tmp_path: Path) -> None:
    """Only where the operator allows the host, and with keys that he allows."""
    backend = {"url": "http://engine.example:8000/v1", "apiKeyEnv": "KEY", "region": "west", "concurrency": 3}
    made = ordered(tmp_path, {"properties": {"model": {"name": "m"}, "backends": [backend]}})
    assert (made.backends[0].region, made.slots, made.rai_policy_name) == ("west", 3, None)
    assert made.capabilities.endpoints == USUAL


def test_endpoints_of_a_body(tmp_path: Path) -> None:
    """Those that it names, else those of the deployment whose backends it uses; what is none is a fault."""
    backend = {
        "url": "http://engine.example:8000/v1",
        "paths": {"rerank": "/v2/rerank"},
        "forms": "json",
        "videoSeconds": 9,
    }
    for where in ({"backendsOf": "pool"}, {"backends": [backend]}):
        made = ordered(tmp_path, {"properties": {"endpoints": ["/v1/rerank", "score"], **where}})
        assert made.capabilities.endpoints == ("/rerank", "/score")
    with pytest.raises(ConfigError, match="there is no endpoint '/v1/rerunk'; did you mean 'rerank'"):
        ordered(tmp_path, {"properties": {"endpoints": ["/v1/rerunk"], "backendsOf": "pool"}})


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"properties": {"model": {"name": "unknown"}}}, "nothing is known of the model 'unknown'"),
        (
            {"properties": {"model": {"name": "m"}, "backends": [{"url": "http://127.0.0.1:1/v1"}]}},
            "its host is not allowed",
        ),
        (
            {"properties": {"backends": [{"url": "http://engine.example:8000", "apiKeyFile": "/etc/passwd"}]}},
            "api_key_file is for the operator's configuration",
        ),
        (
            {"properties": {"backends": [{"url": "http://engine.example:8000", "apiKeyEnv": "PATH"}]}},
            "'PATH' is not allowed",
        ),
        ({"properties": {"backends": [{"echo": {}}]}}, "needs a connection, or a url"),
        ({"properties": {"backendsOf": "pool", "backends": [{"url": "http://engine.example:8000"}]}}, "leave one out"),
        ({"sku": {"name": "x"}, "properties": {"backendsOf": "pool"}}, "there is no SKU 'x'"),
        ({"sku": {"name": "DataZoneBatch"}, "properties": {"backendsOf": "pool"}}, "needs a data_zone"),
        ({"sku": {"capacity": 1001}, "properties": {"backendsOf": "pool"}}, "the operator allows 1,000"),
        ({"properties": {"backendsOf": "pool", "raiPolicyName": "lax"}}, "there is no content filter 'lax'"),
    ],
)
def test_bodies_that_are_refused(tmp_path: Path, body: dict[str, Any], fault: str) -> None:
    """A body cannot reach what the operator has not allowed."""
    with pytest.raises(ConfigError) as caught:
        ordered(tmp_path, body)
    assert fault in "\n".join(caught.value.faults)


RATED = """
[[deployments]]
name = "a"
[[deployments.backends]]
url = "http://127.0.0.1:1/v1"
{}
"""


def test_rate_limits_of_a_backend(tmp_path: Path) -> None:
    """What an operator knows of a quota; every figure is checked, and a day holds a minute."""
    text = RATED.format(
        "requests_per_minute = 60\ntokens_per_minute = 1000\ntokens_per_day = 5000\nshared_quota = false"
    )
    [deployment] = loaded(tmp_path, text).deployments
    told = told_of(deployment.backends[0])
    assert told == Told(requests_per_minute=60, tokens_per_minute=1000, tokens_per_day=5000, shared=False)
    assert told_of(loaded(tmp_path, RATED.format("")).deployments[0].backends[0]) is None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("requests_per_minute = 0", "requests_per_minute must be between 1 and"),
        ("tokens_per_minute = -5", "tokens_per_minute must be between 1 and"),
        ("tokens_per_minute = 10\ntokens_per_day = 5", "tokens_per_day must not be less than tokens_per_minute"),
    ],
)
def test_rate_limits_that_cannot_be(tmp_path: Path, settings: str, said: str) -> None:
    """They are named, with what to write instead."""
    assert said in " ".join(faults(tmp_path, RATED.format(settings)))


ENGINE = '[[deployments]]\nname = "a"\n[[deployments.backends]]\nurl = "{}"\n'
TWICE = "is the same server as 'http://localhost:8000', which has a section already; write one [[engines]] section"


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8000",
        "http://localhost:8000/",
        "http://LOCALHOST:8000/v1",
        "http://127.0.0.1:8000",
        "http://127.0.1.1:8000/v1/",
        "http://[::1]:8000",
    ],
)
def test_an_engine_has_one_section(tmp_path: Path, url: str) -> None:
    """Of two for one server, however it is written, only one could hold, and nobody would see which."""
    first = '[[engines]]\nurl = "http://localhost:8000"\npace = "strict"\n'
    text = first + f'[[engines]]\nurl = "{url}"\nconcurrency = 8\n' + ENGINE.format("http://localhost:8000/v1")
    twice = [fault for fault in faults(tmp_path, text) if TWICE in fault]
    assert len(twice) == 1
    assert f"engine '{url}'" in twice[0]


def test_what_an_engine_says_holds_for_backends_that_say_nothing(tmp_path: Path) -> None:
    """More than the default, too, of the connections as well; a backend with a number of its own keeps it, one elsewhere its
    default."""
    said = '[[engines]]\nurl = "http://a:8000"\nconcurrency = 512\n'
    backends = '[[deployments.backends]]\nurl = "http://a:8000/v1"\n', "[[deployments.backends]]\nurl = 'http://b/v1'\n"
    own = '[[deployments.backends]]\nurl = "http://a:8000/v2"\nconcurrency = 3\n'
    (tmp_path / "c.toml").write_text(said + '[[deployments]]\nname = "a"\n' + "".join(backends) + own)
    config = load(tmp_path / "c.toml", {})
    made = [(each.slots, each.most) for each in config.deployments[0].backends]
    assert made == [(512, 512), (CONCURRENCY, PACED_CONCURRENCY), (3, 3)]
    allowed = msgspec.structs.replace(config, control_plane=ControlPlaneConfig(backend_hosts=["a:8000"]))
    body = {"properties": {"model": {"name": "m"}, "backends": [{"url": "http://a:8000/v1"}]}}
    assert ordered_deployment(body, resource="default", name="n", config=allowed).backends[0].most == 512


def test_a_server_is_one_engine_by_any_name_of_this_host(tmp_path: Path) -> None:
    """Its number is named once, and holds by whichever name somebody else calls it."""
    urls = ("http://localhost:8000/v1", "http://127.0.0.1:8000/v2", "http://[::1]:8000")
    text = "".join(
        f'[[deployments]]\nname = "d{place}"\n[[deployments.backends]]\nurl = "{url}"\n'
        for place, url in enumerate(urls)
    )
    (tmp_path / "c.toml").write_text(text + "concurrency = 8\n")
    config = load(tmp_path / "c.toml", {})
    assert [each.backends[0].most for each in config.deployments] == [8, 8, 8]
    engines = Engines(SystemClock(), config.engines, config.deployments)
    made = {id(engines.engine(each.backends[0], place="")) for each in config.deployments}
    assert len(made) == 1
    assert engines.engine(config.deployments[0].backends[0], place="").name == "http://localhost:8000"


def test_the_smallest_number_is_the_engine_s(tmp_path: Path) -> None:
    """However its path is written, and whoever names it. A backend that names none has that; it is noted where two differ and no
    section says how many there are. A section goes before all of them. A deployment of the API makes nobody else's smaller.
    """
    there = [("/v1", "concurrency = 24\n"), ("/v2", ""), ("/v3/", "concurrency = 8\n")]
    text = "".join(
        f'[[deployments]]\nname = "d{number}"\n[[deployments.backends]]\nurl = "http://A:80{path}"\n{more}'
        for number, (path, more) in enumerate(there)
    )
    for section, limit, noted in (("", 8, 1), ('[[engines]]\nurl = "http://a"\nconcurrency = 16\n', 16, 0)):
        (tmp_path / "c.toml").write_text(section + text)
        config = load(tmp_path / "c.toml", {})
        assert limits_of(config.deployments, config.engines) == {"http://a:80": limit}
        assert [each.backends[0].most for each in config.deployments] == [24, limit, 8]
        notes = unequal_numbers(config.engines, config.deployments)
        assert len(notes) == noted
        assert all("'http://a:80': its backends name 8 and 24 for concurrency" in note for note in notes)
        allowed = msgspec.structs.replace(config, control_plane=ControlPlaneConfig(backend_hosts=["a"]))
        body: dict[str, Any] = {"properties": {"model": {"name": "m"}, "backends": [{"url": "http://a/v1"}]}}
        assert ordered_deployment(body, resource="default", name="n", config=allowed).backends[0].most == limit
        body["properties"]["backends"][0]["concurrency"] = 1
        ordered = ordered_deployment(body, resource="default", name="n", config=allowed)
        assert (ordered.backends[0].most, limits_of(config.deployments, config.engines)) == (1, {"http://a:80": limit})


def test_other_engines_are_others(tmp_path: Path) -> None:
    """Another port, scheme or host; the port of a scheme is that port, named or not."""
    urls = ("http://a", "http://a:81", "https://a", "http://b", "http://127.0.0.1.example:80")
    text = "".join(f'[[engines]]\nurl = "{url}"\npace = "full"\n' for url in urls) + ENGINE.format("http://a/v1")
    (tmp_path / "c.toml").write_text(text)
    assert len(load(tmp_path / "c.toml", {}).engines) == len(urls)
    assert len(faults(tmp_path, '[[engines]]\nurl = "http://a:80/v1"\npace = "full"\n' + text)) == 1


def test_an_engine_is_named_as_its_backends_name_it(tmp_path: Path) -> None:
    """A section about `localhost` would say nothing of a backend at 127.0.0.1: it says how to write it."""
    text = '[[engines]]\nurl = "http://localhost:8000"\npace = "strict"\n' + ENGINE.format("http://127.0.0.1:8000/v1")
    (fault,) = faults(tmp_path, text)
    assert fault.endswith('write it as that backend does: url = "http://127.0.0.1:8000"')
    (tmp_path / "c.toml").write_text(text.replace("localhost", "127.0.0.1"))
    assert load(tmp_path / "c.toml", {}).engines[0].pace == "strict"
    # Of one that no backend uses nothing is said: one may be made while the service runs.
    (tmp_path / "c.toml").write_text(text.replace("localhost", "gpu"))
    load(tmp_path / "c.toml", {})
