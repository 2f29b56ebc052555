"""Configuration: every fault is found at once, and says what to do."""

from pathlib import Path

import pytest

from slackwater.adapters.system_clock import SystemClock
from slackwater.config import load, price_list
from slackwater.core.accounts.price import Price
from slackwater.core.accounts.resource import Role
from slackwater.core.endpoints import REQUIRED_KEY, USUAL
from slackwater.core.errors import ConfigError
from slackwater.core.sending.deployment import Capabilities
from slackwater.wiring import deployment_record, verifier_of

GOOD = """
[server]
port = 9000
[[deployments]]
name = "a"
enqueued_token_limit = 1000
[[deployments.backends]]
url = "http://127.0.0.1:8000/v1"
api_key_env = "ENGINE_KEY"
concurrency = 4
[[deployments.backends]]
echo = { latency_seconds = 0.5, error_rate = 0.1 }
"""


PRICE = '[[prices]]\nmodel = "gpt"\ninput = "2.50"\noutput = "10"\n'


def faults(tmp_path: Path, text: str, **environment: str) -> list[str]:
    """What is wrong with a configuration."""
    path = tmp_path / "slackwater.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path, environment)
    return caught.value.faults


def test_a_good_configuration(tmp_path: Path) -> None:
    """Settings are read, and secrets come from the environment."""
    (tmp_path / "c.toml").write_text(GOOD)
    config = load(tmp_path / "c.toml", {"ENGINE_KEY": "secret"})
    (deployment,) = config.deployments
    assert (config.server.port, deployment.model, deployment.backends[0].concurrency) == (9000, "a", 4)
    assert config.backend_keys == {"ENGINE_KEY": "secret"}
    assert deployment.backends[1].echo is not None
    assert deployment.backends[1].echo.latency_seconds == 0.5


def test_what_a_deployment_offers(tmp_path: Path) -> None:
    """The usual endpoints and images, unless the configuration says otherwise; endpoints may be spelled as urls."""
    for spelled in ('["embeddings", "chat/completions"]', '["/v1/embeddings", "/openai/v1/chat/completions/"]'):
        (tmp_path / "c.toml").write_text(
            GOOD.replace("enqueued_token_limit = 1000", f"endpoints = {spelled}\nimages = false")
        )
        (deployment,) = load(tmp_path / "c.toml", {"ENGINE_KEY": "secret"}).deployments
        assert deployment_record(deployment).capabilities == Capabilities(
            endpoints=("/embeddings", "/chat/completions"), images=False
        )
    (tmp_path / "c.toml").write_text(GOOD)
    (deployment,) = load(tmp_path / "c.toml", {"ENGINE_KEY": "secret"}).deployments
    assert deployment_record(deployment).capabilities == Capabilities(endpoints=USUAL)
    # The built-in backend answers all of them.
    (deployment,) = load(None).deployments
    assert deployment_record(deployment).capabilities == Capabilities(endpoints=tuple(REQUIRED_KEY))


def test_prices(tmp_path: Path) -> None:
    """Half of what they say, unless the discount is another; cached input costs what input does, unless it says so."""
    path = tmp_path / "c.toml"
    path.write_text(GOOD + PRICE)
    config = load(path, {"ENGINE_KEY": "k"})
    assert price_list(config.billing, config.prices) == {
        "gpt": Price(input=2_500_000, cached_input=2_500_000, output=10_000_000, discount=50)
    }
    path.write_text("[billing]\nbatch_discount = 0\n" + GOOD + PRICE + 'cached_input = "1.25"\ncurrency = "EUR"\n')
    config = load(path, {"ENGINE_KEY": "k"})
    price = price_list(config.billing, config.prices)["gpt"]
    assert (price.cached_input, price.currency, price.discount) == (1_250_000, "EUR", 0)


def test_tokens_of_a_directory(tmp_path: Path) -> None:
    """An issuer turns them on, with Azure's audiences; roles and resources are read as what they are."""
    text = """[oidc]
issuers = ["https://login.microsoftonline.com/t/v2.0", "https://sts.windows.net/t/"]
resource_claim = "groups"
resource_map = { "g-1" = "red", "g-2" = "default" }
role_map = { "Batch.Write" = "user" }
default_role = "reader"
[[resources]]
name = "red"
"""
    (tmp_path / "c.toml").write_text(text + GOOD)
    config = load(tmp_path / "c.toml", {"ENGINE_KEY": "secret"})
    assert config.oidc.role_map == {"Batch.Write": Role.USER}
    assert config.oidc.default_role is Role.READER
    assert "https://ai.azure.com/" in config.oidc.audiences
    assert list(config.oidc.resource_map) == ["g-1", "g-2"]
    assert verifier_of(config, SystemClock()) is not None
    assert verifier_of(load(None), SystemClock()) is None


def test_without_a_file_there_is_the_demo_deployment() -> None:
    """Loopback, any key, one deployment on the built-in backend."""
    config = load(None)
    assert (config.server.host, config.api_keys) == ("127.0.0.1", ())
    assert [deployment.name for deployment in config.deployments] == ["demo-batch"]


def test_every_fault_has_its_line(tmp_path: Path) -> None:
    """Unknown keys, wrong types and unknown sections are all reported, with suggestions."""
    found = faults(
        tmp_path,
        '[server]\nport = "x"\nhots = "a"\n[limit]\n[[deployments]]\n[[deployments.backends]]\nconcurency = 5\n',
    )
    text = "\n".join(found)
    assert len(found) == 5, text
    for word in ("port: expected", "did you mean 'host'", "did you mean 'limits'", "name is missing", "'concurrency'"):
        assert word in text


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (('url = "http://127.0.0.1:8000/v1"\n', ""), "needs either a url or echo"),
        (('url = "http://127.0.0.1:8000/v1"', 'url = "127.0.0.1:8000"'), "must look like http://"),
        (("concurrency = 4", "concurrency = 0"), "between 1 and 10000"),
        (("[server]", '[server]\nhost = "0.0.0.0"'), "api_key_envs"),
        (("port = 9000", "port = 99999"), "between 0 and 65535"),
        (("enqueued_token_limit = 1000", 'tokenizer = "gpt2"'), "o200k_base"),
        (("[server]", "[worker]\ncommit_seconds = -1\n[server]"), "must not be negative"),
        (("[server]", "[imports]\nenabled = true\n[server]"), "no host is allowed"),
        (("[server]", '[imports]\nhosts = ["https://a.example"]\n[server]'), "'https://a.example' must be a host"),
        (("[server]", '[imports]\nhosts = ["*"]\n[server]'), "'*' must be a host"),
        (("[server]", "[imports]\nbytes_max = -1\n[server]"), "bytes_max must not be negative"),
        (("[server]", "[imports]\ntimeout_seconds = 0\n[server]"), "timeout_seconds must be more than 0"),
        (("[server]", "[audit]\nkeep_days = -1\n[server]"), "keep_days must not be negative"),
        (("[server]", "[limits]\nembedding_inputs = -1\n[server]"), "must not be negative"),
        (("[server]", '[oidc]\nissuers = ["http://login.example/t"]\n[server]'), "plain http is for loopback only"),
        (("[server]", '[oidc]\nissuers = ["https://a.example/?x=1"]\n[server]'), "must not have a query"),
        (("[server]", '[oidc]\nissuers = ["https://a.example", "https://a.example"]\n[server]'), "names one twice"),
        (("[server]", '[oidc]\njwks_url = "a.example/keys"\n[server]'), "jwks_url: 'a.example/keys' must look like"),
        (("[server]", "[oidc]\naudiences = []\n[server]"), "audiences: is empty"),
        (("[server]", '[oidc]\naudiences = [""]\n[server]'), "must not hold an empty text"),
        (("[server]", '[oidc]\nalgorithms = ["none"]\n[server]'), "'none' cannot be used"),
        (("[server]", '[oidc]\nalgorithms = ["RS256", "HS256"]\n[server]'), "'HS256' cannot be used"),
        (("[server]", "[oidc]\nalgorithms = []\n[server]"), "algorithms: is empty"),
        (("[server]", "[oidc]\nclock_skew_seconds = 3600\n[server]"), "clock_skew_seconds must be between"),
        (("[server]", "[oidc]\njwks_cache_seconds = 0\n[server]"), "jwks_cache_seconds must be more than 0"),
        (("[server]", "[oidc]\njwks_stale_seconds = 5\n[server]"), "must not be less than jwks_cache_seconds"),
        (("[server]", '[oidc]\nrole_claim = ""\n[server]'), "role_claim: is empty"),
        (("[server]", '[oidc]\ndefault_role = "owner"\n[server]'), "default_role: invalid enum value 'owner'"),
        (("[server]", '[oidc]\nrole_map = { a = "owner" }\n[server]'), "role_map: invalid enum value 'owner'"),
        (("[server]", '[oidc]\ndefault_resource = "red"\n[server]'), "default_resource: there is no resource 'red'"),
        (("[server]", '[oidc]\nresource_map = { a = "red" }\n[server]'), "resource_map: there is no resource 'red'"),
        (("enqueued_token_limit = 1000", "endpoints = []"), "endpoints is empty"),
        (
            ("enqueued_token_limit = 1000", 'endpoints = ["embedding"]'),
            "no endpoint 'embedding'; did you mean 'embeddings'",
        ),
        (
            ("enqueued_token_limit = 1000", 'endpoints = ["/v1/images/variations"]'),
            "no endpoint '/v1/images/variations'",
        ),
        (("enqueued_token_limit = 1000", "images = 1"), "images: expected"),
        (("[server]", "[billing]\nbatch_discount = 101\n[server]"), "between 0 and 100"),
        (("[server]", PRICE.replace("2.50", "2,50") + "[server]"), "price of 'gpt': input: '2,50' is not a price"),
        (("[server]", PRICE.replace('"2.50"', "2.5") + "[server]"), "price 1: input: expected `str`"),
        (("[server]", PRICE.replace('"2.50"', "2.5") + "[server]"), 'write it in quotes: input = "2.5"'),
        (("[server]", "[[engines]]\nurl = 'http://a:1'\npace = 50\n[server]"), 'write it in quotes: pace = "50"'),
        (("[server]", "[[engines]]\nurl = 'http://a:1'\nslices = false\n[server]"), 'quotes: slices = "false"'),
        (
            ("enqueued_token_limit = 1000", 'pace = "strict"'),
            "unknown setting 'pace'; it belongs into a section [[engines]]",
        ),
        (("[server]", PRICE + PRICE + "[server]"), "written twice"),
        (("[server]", PRICE + 'currency = "$"\n[server]'), "three capital letters"),
        (("[server]", '[prices]\nmodel = "a"\n[server]'), "[[prices]] sections"),
    ],
)
def test_relations_are_checked(tmp_path: Path, change: tuple[str, str], word: str) -> None:
    """Values that make no sense are named with where they stand."""
    found = faults(tmp_path, GOOD.replace(*change), ENGINE_KEY="k")
    assert word in "\n".join(found)


def test_names_are_unique(tmp_path: Path) -> None:
    """Two deployments of one name are a fault."""
    assert "used twice" in "\n".join(faults(tmp_path, GOOD + GOOD.replace("[server]\nport = 9000", ""), ENGINE_KEY="k"))


def test_a_name_is_used_twice_where_one_of_them_is_wrong_otherwise(tmp_path: Path) -> None:
    """A half of a section that was copied is told as what it is, besides what it lacks; a wrong setting hides it neither."""
    alone = GOOD.replace("[server]\nport = 9000", "")
    name = 'name = "a"'
    for half, lacks in (
        (f"[[deployments]]\n{name}\n", "has no backend"),
        (f"[[deployments]]\n{name}\nfish = 1\n", "'fish'"),
    ):
        found = "\n".join(faults(tmp_path, alone + half, ENGINE_KEY="k"))
        assert "deployment 'a': the name is used twice in one resource" in found
        assert lacks in found
    other = '[[resources]]\nname = "red"\n[[deployments]]\nname = "a"\nresource = "red"\n'
    (found,) = faults(tmp_path, alone + other, ENGINE_KEY="k")
    assert "deployment 'red/a': has no backend" in found, "it is not that of the other resource that is meant"


def test_a_name_is_not_that_of_a_neighbour(tmp_path: Path) -> None:
    """The ledger calls `b` of the resource `red` `red/b`, and so nothing of the default resource may be called that."""
    named = GOOD.replace('name = "a"', 'name = "red/b"') + '[[resources]]\nname = "red"\n'
    assert "'red/'" in "\n".join(faults(tmp_path, named, ENGINE_KEY="k"))
    (tmp_path / "slackwater.toml").write_text(named.replace("red/b", "reds/b"))
    assert load(tmp_path / "slackwater.toml", {"ENGINE_KEY": "k"}).deployments[0].name == "reds/b"


@pytest.mark.parametrize(
    ("origin", "fine"),
    [
        ("https://app.example", True),
        ("http://localhost:3000", True),
        ("http://[::1]:8080", True),
        ("https://app.example:80", True),
        ("*", False),
        ("null", False),
        ("https://app.example/", False),
        ("https://App.example", False),
        ("https://app.example:443", False),
        ("https://*.example", False),
        ("https://user@app.example", False),
        ("app.example", False),
        ("file://", False),
    ],
)
def test_sites_that_may_call(tmp_path: Path, origin: str, fine: bool) -> None:
    """Each is written as browsers write it; anything else would never fit, or fit too much."""
    found = faults(tmp_path, GOOD.replace("[server]", f'[server]\ncors_origins = ["{origin}"]'))
    assert any("cors_origins" in fault for fault in found) != fine


def test_a_missing_variable_is_named(tmp_path: Path) -> None:
    """The variable and the deployment that wants it."""
    assert faults(tmp_path, GOOD) == [
        f"{tmp_path / 'slackwater.toml'}: deployment 'a': the environment variable ENGINE_KEY is not set; "
        "set it to the key before starting"
    ]


def test_a_missing_password_is_called_one(tmp_path: Path) -> None:
    """Not everything that is secret is a key."""
    database = '[server]\ndatabase = "postgresql://h/db"\ndatabase_password_env = "P"'
    (found,) = faults(tmp_path, GOOD.replace("[server]", database), ENGINE_KEY="k")
    assert found.endswith("the environment variable P is not set; set it to the password before starting")


@pytest.mark.parametrize("address", ["postgres:/u@h/db", "postgresql:h/db", "PostgreSQL://h/db"])
def test_an_address_that_libpq_reads_as_something_else(tmp_path: Path, address: str) -> None:
    """It would look for a parameter of that name."""
    text = GOOD.replace("[server]", f'[server]\ndatabase = "{address}"')
    assert "must look like postgresql://" in "\n".join(faults(tmp_path, text, ENGINE_KEY="k"))


@pytest.mark.parametrize("text", ["= nonsense", "[server\n"])
def test_what_is_no_toml(tmp_path: Path, text: str) -> None:
    """One line with the place."""
    (fault,) = faults(tmp_path, text)
    assert "not valid TOML" in fault


def test_a_missing_file() -> None:
    """Said in one line."""
    with pytest.raises(ConfigError, match="cannot be read"):
        load(Path("/nowhere/at/all.toml"))


def test_keys_in_files(tmp_path: Path) -> None:
    """Beside the configuration, or anywhere; blanks around a key mean nothing."""
    (tmp_path / "engine.key").write_text("  sk-one\n")
    (tmp_path / "slackwater.toml").write_text(GOOD.replace('api_key_env = "ENGINE_KEY"', 'api_key_file = "engine.key"'))
    config = load(tmp_path / "slackwater.toml", {})
    backend = config.deployments[0].backends[0]
    assert backend.key_name == f"file:{tmp_path / 'engine.key'}"
    assert config.backend_keys == {backend.key_name: "sk-one"}


@pytest.mark.parametrize(
    ("setting", "content", "fault"),
    [
        ('api_key_file = "nowhere"', b"", "cannot be read: No such file"),
        ('api_key_file = "key"', b" \n", "the file is empty"),
        ('api_key_file = "key"', b"KEY=sk-one\nOTHER=x\n", "does not have one line with a key in it"),
        ('api_key_file = "key"', b"\xff\xfe", "does not have one line with a key in it"),
        ('api_key_file = "key"', b"k" * 20_000, "does not have one line with a key in it"),
        ('api_key_env = "ENGINE_KEY"\napi_key_file = "key"', b"sk", "has both api_key_env and api_key_file"),
    ],
)
def test_key_files_that_are_none(tmp_path: Path, setting: str, content: bytes, fault: str) -> None:
    """One line, and nothing of what is in the file."""
    (tmp_path / "key").write_bytes(content)
    text = GOOD.replace('api_key_env = "ENGINE_KEY"', setting)
    [found] = faults(tmp_path, text, ENGINE_KEY="x")
    assert fault in found
    assert "sk-one" not in found


SECRETS = '[server]\nsecrets_key_env = "SECRETS"\n'
KEY = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVoxMjM0NTY="


def test_secrets_keys_are_read_newest_first(tmp_path: Path) -> None:
    """Of a variable or a file, in either alphabet of base64; and whoever has one needs no deployment in the file."""
    (tmp_path / "slackwater.toml").write_text(SECRETS)
    other = "-_" + KEY[2:]
    read = load(tmp_path / "slackwater.toml", {"SECRETS": f" {other},\n{KEY} "}).secrets_keys
    assert [len(each) for each in read] == [32, 32]
    assert read[1] == b"ABCDEFGHIJKLMNOPQRSTUVWXYZ123456"
    (tmp_path / "slackwater.toml").write_text('[server]\nsecrets_key_file = "key"\n')
    (tmp_path / "key").write_text(KEY + "\n")
    assert load(tmp_path / "slackwater.toml", {}).secrets_keys == (read[1],)


@pytest.mark.parametrize(
    ("text", "value", "words"),
    [
        (SECRETS, "", "is not set; make one with: openssl rand -base64 32"),
        (SECRETS, "c2hvcnQ=", "key 1 is not 32 bytes in base64"),
        (SECRETS, f"{KEY} my own words", "key 2 is not 32 bytes in base64"),
        (SECRETS + 'secrets_key_file = "x"\n', KEY, "leave one of them out"),
        ('[server]\nsecrets_key_file = "none"\n', "", "cannot be read: No such file"),
    ],
)
def test_a_secrets_key_that_is_none(tmp_path: Path, text: str, value: str, words: str) -> None:
    """It is said with what to do, and never repeated: it may be most of a key."""
    (fault,) = faults(tmp_path, text, SECRETS=value)
    assert words in fault
    assert "words" not in fault
    assert KEY not in fault
