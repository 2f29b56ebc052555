"""Configuration of content filters: every fault is found, and says what to do."""

import subprocess
import sys
from pathlib import Path

import pytest

from slackwater.config import load
from slackwater.core.errors import ConfigError
from slackwater.wiring import check_backends

DEPLOYMENT = """
[[deployments]]
name = "a"
rai_policy_name = "strict"
[[deployments.backends]]
echo = {}
"""
GOOD = (
    r"""
[[content_filters]]
name = "strict"
on = ["prompt"]
when_down = "open"
[[content_filters.blocklists]]
name = "fish"
terms = ["tuna"]
file = "terms.txt"
patterns = ['(?i)\bcode-\d{4}\b']
[content_filters.classifier]
url = "http://127.0.0.1:8001/v1"
kind = "guard"
model = "llama-guard"
api_key_env = "GUARD_KEY"
codes = { S2 = "violence" }
[content_filters.categories]
hate = { severity = "low", action = "annotate" }
"""
    + DEPLOYMENT
)


def faults(tmp_path: Path, text: str, **environment: str) -> list[str]:
    """What is wrong with a configuration."""
    path = tmp_path / "slackwater.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        check_backends(load(path, environment))
    return caught.value.faults


def test_a_good_filter(tmp_path: Path) -> None:
    """Terms of a file are found beside the configuration, and the classifier's key comes from the environment."""
    (tmp_path / "terms.txt").write_text("\ufeff# fish\neel\n\n  sea bass \n", "utf-8")
    (tmp_path / "c.toml").write_text(GOOD)
    config = load(tmp_path / "c.toml", {"GUARD_KEY": "secret"})
    (content_filter,) = config.content_filters
    assert content_filter.blocklists[0].terms == ["tuna", "eel", "sea bass"]
    assert content_filter.categories["hate"].action == "annotate"
    assert config.backend_keys == {"GUARD_KEY": "secret"}
    assert config.deployments[0].rai_policy_name == "strict"
    check_backends(config)


def test_every_fault_at_once(tmp_path: Path) -> None:
    """A line per fault: files, patterns, names, words and keys."""
    text = r"""
[[content_filters]]
name = "strict"
on = ["prompts"]
when_down = "sideways"
[[content_filters.blocklists]]
name = "fish"
file = "nowhere.txt"
patterns = ['(a', '(?=b)', 'x*']
action = "shout"
[[content_filters.blocklists]]
name = "fish"
terms = ["\u200b"]
[content_filters.classifier]
url = "http://127.0.0.1:8001/v1"
kind = "guard"
api_key_env = "GUARD_KEY"
scores = { low = 0.9 }
codes = { S2 = "crime" }
[content_filters.categories]
anger = { severity = "huge" }
[[content_filters]]
name = "strict"
[[deployments]]
name = "a"
rai_policy_name = "stric"
[[deployments.backends]]
echo = {}
"""
    found = "\n".join(faults(tmp_path, text))
    for fault in (
        "on must be",
        "when_down must be",
        "'nowhere.txt' cannot be read",
        "pattern '(a' is not",
        "pattern '(?=b)' is not",
        "'x*' is found in every text",
        "action must be",
        "'fish': the name is used twice",
        "nothing that can be seen",
        "a guard needs a model",
        "GUARD_KEY is not set",
        "scores must rise",
        "no category 'crime'",
        "no category 'anger'",
        "severity is 'low'",
        "content filter 'strict': the name is used twice",
        "looks for nothing",
        "no content filter 'stric'",
    ):
        assert fault in found, fault


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('terms = ["tuna"]', 'term = ["tuna"]', "unknown field `term`"),
        ('on = ["prompt"]', "on = 1", "on: expected `array`"),
        ('name = "strict"\non', 'called = "strict"\non', "unknown setting 'called'"),
        ("[[content_filters]]", "[content_filters]", "must be written as [[content_filters]]"),
        ("http://127.0.0.1:8001/v1", "nowhere", "must look like http://host:port/v1"),
    ],
)
def test_a_fault(tmp_path: Path, old: str, new: str, fault: str) -> None:
    """What cannot be read or called is named."""
    (tmp_path / "terms.txt").write_text("eel\n")
    assert fault in "\n".join(faults(tmp_path, GOOD.replace(old, new, 1), GUARD_KEY="secret"))


def test_without_a_policy_there_is_nothing_of_it(tmp_path: Path) -> None:
    """A deployment without a policy has the plain dispatcher, and not even the code of filters is loaded."""
    program = """
import sys
from slackwater.adapters.system_clock import SystemClock
from slackwater.config import load
from slackwater.pipeline.sending.dispatcher import Dispatcher
from slackwater.core.sending.budget import Budget
from slackwater.wiring import Shared, dispatchers_of
from slackwater.wiring.engines import Engines

(deployment,) = load(None).deployments
clock = SystemClock()
for dispatcher in dispatchers_of(deployment, Shared(clock=clock, engines=Engines(clock, {}), budget=Budget())):
    assert type(dispatcher) is Dispatcher
names = ("re2", "daachorse", "slackwater.core.filtering.blocklists", "slackwater.core.filtering.filtered_bodies")
assert not [name for name in names if name in sys.modules]
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)
