"""The files for Prometheus and Grafana: they ask for nothing that a server does not have, and promtool finds them right."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.scrape import scrape
from tests.server import Server

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD = DEPLOY / "grafana" / "slackwater.json"
NAME = re.compile(r"\b(?:slackwater|process|python)_[a-z_0-9]+\b")
RECORDED = re.compile(r"\b[a-z]+:slackwater_\w+:\w+\b")
# What a histogram or a counter is called when it is asked for.
SUFFIX = re.compile(r"_(bucket|sum|count|total)$")


def rules() -> list[dict[str, Any]]:
    """Every rule of every group."""
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def asked() -> Iterator[tuple[str, str]]:
    """Every query, with where it stands."""
    for rule in rules():
        yield rule.get("alert") or rule["record"], rule["expr"]
    dashboard = json.loads(DASHBOARD.read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for choice in dashboard["templating"]["list"][1:]:
        yield choice["name"], choice["definition"]


def test_every_metric_that_is_asked_for_is_on_the_page(place: tuple[Server, str]) -> None:
    """Each name in a query of the dashboard and the alerts is a family of a real page, or a rule that records it."""
    page = scrape(place[1])
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    missing = []
    for where, query in asked():
        missing += [(where, name) for name in RECORDED.findall(query) if name not in recorded]
        for name in NAME.findall(RECORDED.sub("", query)):
            if name not in page.families and SUFFIX.sub("", name) not in page.families:
                missing.append((where, name))
    assert missing == []


def test_every_metric_of_ours_is_shown(place: tuple[Server, str]) -> None:
    """The dashboard has a panel for each family of the page."""
    shown = {SUFFIX.sub("", name) for _, query in asked() for name in NAME.findall(query)}
    assert {name for name in scrape(place[1]).families if name.startswith("slackwater_")} - shown == set()


def test_panels_do_not_overlap() -> None:
    """Every panel has an id and a place of its own, inside the width that there is."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_alert_says_what_to_do_and_has_a_test() -> None:
    """A severity, a sentence, and what to look at; and promtool's test file names each alert."""
    tests = (ALERTS.parent / "alerts_test.yml").read_text()
    for rule in rules():
        if "alert" in rule:
            assert rule["labels"]["severity"] in ("critical", "warning", "info")
            assert set(rule["annotations"]) == {"summary", "description"}
            assert rule["alert"] in tests, rule["alert"]
            assert rule["alert"] in (DEPLOY.parent / "docs" / "metrics.md").read_text(), rule["alert"]


@pytest.mark.monitoring
def test_promtool_finds_the_page_right(place: tuple[Server, str]) -> None:
    """`promtool check metrics`: names, units and help of a real page are as the field wants them."""
    page = scrape(place[1]).text
    checked = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


@pytest.mark.monitoring
@pytest.mark.parametrize(("what", "file"), [("check", "alerts.yml"), ("test", "alerts_test.yml")])
def test_promtool_finds_the_alerts_right(what: str, file: str) -> None:
    """`promtool check rules` and `promtool test rules`."""
    checked = subprocess.run(["promtool", what, "rules", file], cwd=ALERTS.parent, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
