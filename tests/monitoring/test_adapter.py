"""What prometheus-adapter asks for the autoscaler of the Helm chart: the metric is one of ours, and its sum is right."""

import subprocess
from pathlib import Path

import pytest
import yaml

from slackwater.telemetry import names
from tests.deploy.helm import CHART

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "adapter.yaml"


def rule() -> dict[str, str]:
    """The only one."""
    (found,) = yaml.safe_load(RULES.read_text("utf-8"))["externalRules"]
    assert isinstance(found, dict)
    return found


def test_the_metric_is_there_and_is_what_the_chart_names() -> None:
    """With a label `deployment`, by which a pool asks for its own."""
    metric = names.ENQUEUED_TOKENS
    assert rule()["seriesQuery"] == metric.name
    assert metric.labels == ("deployment",)
    assert f"name: {metric.name}" in (CHART / "templates" / "autoscaling.yaml").read_text("utf-8")


@pytest.mark.monitoring
def test_what_two_pages_have_counts_once(tmp_path: Path) -> None:
    """While one server hands the metrics of the ledger on to another; and another release's deployment of that name does not."""
    query = rule()["metricsQuery"].replace("<<.Series>>", rule()["seriesQuery"])
    series = [
        ("batch", "one", "a", 100),
        ("batch", "two", "a", 100),
        ("batch", "one", "team-a/qwen", 50),
        ("batch", "one", "other", 7),
        ("elsewhere", "one", "a", 1000),
    ]
    expected = {'namespace="batch"': 157, 'namespace="batch",deployment=~"a|team-a/qwen"': 150}
    tests = {
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {
                        "series": f'slackwater_enqueued_tokens{{namespace="{space}",instance="{page}",deployment="{name}"}}',
                        "values": f"{value}x5",
                    }
                    for space, page, name, value in series
                ],
                "promql_expr_test": [
                    {
                        "expr": query.replace("<<.LabelMatchers>>", matchers),
                        "eval_time": "3m",
                        "exp_samples": [{"labels": "{}", "value": value}],
                    }
                    for matchers, value in expected.items()
                ],
            }
        ],
    }
    file = tmp_path / "tests.yml"
    file.write_text(yaml.safe_dump(tests))
    checked = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr
