"""Configuration: every fault is found at once, and says what to do."""

from pathlib import Path

import pytest

from slackwater.config import load
from slackwater.core.deployment import Capabilities
from slackwater.core.errors import ConfigError
from slackwater.wiring import deployment_record

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
    """All endpoints and images, unless the configuration says otherwise; endpoints may be spelled as urls."""
    for spelled in ('["embeddings", "chat/completions"]', '["/v1/embeddings", "/openai/v1/chat/completions/"]'):
        (tmp_path / "c.toml").write_text(
            GOOD.replace("enqueued_token_limit = 1000", f"endpoints = {spelled}\nimages = false")
        )
        (deployment,) = load(tmp_path / "c.toml", {"ENGINE_KEY": "secret"}).deployments
        assert deployment_record(deployment).capabilities == Capabilities(
            endpoints=("/embeddings", "/chat/completions"), images=False
        )
    (deployment,) = load(None).deployments
    assert deployment_record(deployment).capabilities == Capabilities()


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
        (("[server]", "[limits]\nembedding_inputs = -1\n[server]"), "must not be negative"),
        (("enqueued_token_limit = 1000", "endpoints = []"), "endpoints is empty"),
        (
            ("enqueued_token_limit = 1000", 'endpoints = ["embedding"]'),
            "no endpoint 'embedding'; did you mean 'embeddings'",
        ),
        (
            ("enqueued_token_limit = 1000", 'endpoints = ["/v1/images/generations"]'),
            "no endpoint '/v1/images/generations'",
        ),
        (("enqueued_token_limit = 1000", "images = 1"), "images: expected"),
    ],
)
def test_relations_are_checked(tmp_path: Path, change: tuple[str, str], word: str) -> None:
    """Values that make no sense are named with where they stand."""
    found = faults(tmp_path, GOOD.replace(*change), ENGINE_KEY="k")
    assert word in "\n".join(found)


def test_names_are_unique(tmp_path: Path) -> None:
    """Two deployments of one name are a fault."""
    assert "used twice" in "\n".join(faults(tmp_path, GOOD + GOOD.replace("[server]\nport = 9000", ""), ENGINE_KEY="k"))


def test_a_missing_variable_is_named(tmp_path: Path) -> None:
    """The variable and the deployment that wants it."""
    assert faults(tmp_path, GOOD) == [
        f"{tmp_path / 'slackwater.toml'}: deployment 'a': the environment variable ENGINE_KEY is not set; "
        "set it to the key before starting"
    ]


@pytest.mark.parametrize("text", ["= nonsense", "[server\n"])
def test_what_is_no_toml(tmp_path: Path, text: str) -> None:
    """One line with the place."""
    (fault,) = faults(tmp_path, text)
    assert "not valid TOML" in fault


def test_a_missing_file() -> None:
    """Said in one line."""
    with pytest.raises(ConfigError, match="cannot be read"):
        load(Path("/nowhere/at/all.toml"))
