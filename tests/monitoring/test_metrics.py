"""The metrics page of a real server: what it counts, who may read it, and that it knows every name that we promise."""

import json
import sqlite3
from pathlib import Path

import pytest

from slackwater.telemetry.names import METRICS
from tests.api.calls import Caller, chat
from tests.crash.counting_backend import CountingBackend
from tests.monitoring.scrape import Page, get, scrape
from tests.server import Server
from tests.system.test_serve import slackwater


def until(url: str, name: str, least: float, **labels: str) -> Page:
    """Scrapes until a sample has at least this value; the test's time limit is the limit.

    What the ledger knows may be a second old, so it is waited for.
    """
    while (page := scrape(url)).value(name, **labels) < least:
        pass
    return page


def test_a_batch_is_counted_on_its_way(place: tuple[Server, str]) -> None:
    """Requests, tokens, attempts, times and events of one batch are all on the page, and agree with the batch."""
    server, url = place
    caller = Caller(server, "openai")
    batch = caller.ended(caller.create(chat(50)).json["id"])
    assert batch["request_counts"] == {"total": 50, "completed": 50, "failed": 0}
    page = until(url, "slackwater_batches", 1, status="completed")
    mine = {"deployment": "demo-batch"}
    assert page.value("slackwater_batch_requests_total", outcome="completed", **mine) == 50
    assert page.value("slackwater_tokens_total", direction="input", **mine) == batch["usage"]["input_tokens"]
    assert page.value("slackwater_tokens_total", direction="output", **mine) == batch["usage"]["output_tokens"]
    attempts = {
        outcome: page.value("slackwater_backend_attempts_total", outcome=outcome, **mine)
        for outcome in ("success", "error", "busy", "aborted")
    }
    assert attempts["success"] == 50
    assert attempts["error"] == page.value("slackwater_requests_resent_total", **mine) > 0
    assert page.value("slackwater_backend_request_duration_seconds_count", **mine) == sum(attempts.values())
    assert page.value("slackwater_events_total", event="requests_sent") >= sum(attempts.values())
    assert page.value("slackwater_batch_time_to_first_result_seconds_count") == 1
    assert page.value("slackwater_batch_duration_seconds_count", status="completed") == 1
    assert page.value("slackwater_validation_seconds_count") == 1
    assert page.value("slackwater_journal_commit_seconds_count") >= 1
    output = caller("GET", f"/files/{batch['output_file_id']}/content").body
    assert page.value("slackwater_journal_bytes_total") == len(output)
    assert page.value("slackwater_enqueued_tokens_limit", **mine) == 100_000
    assert page.value("slackwater_http_requests_total", operation="create_batch", code="2xx") == 1
    assert page.value("slackwater_ledger_read") == 1


def test_what_is_under_way_is_seen(place: tuple[Server, str]) -> None:
    """Calls in flight, tokens held, and, after a cancel, requests that never ran and calls that were aborted."""
    server, url = place
    caller = Caller(server, "openai")
    batch_id = caller.create(chat(6, model="stuck-batch")).json["id"]
    stuck = {"deployment": "stuck-batch"}
    until(url, "slackwater_backend_in_flight", 2, **stuck)
    page = until(url, "slackwater_enqueued_tokens", 1, **stuck)
    assert page.value("slackwater_backend_in_flight", **stuck) == 2
    assert page.value("slackwater_backend_window", **stuck) == 2
    assert page.value("slackwater_backend_breaker_open", **stuck) == 0
    until(url, "slackwater_batches", 1, status="in_progress")
    # Nothing has come back, so the oldest batch that waits grows older.
    until(url, "slackwater_batch_queue_age_seconds", 1, **stuck)
    caller("POST", f"/batches/{batch_id}/cancel")
    caller.ended(batch_id)
    page = until(url, "slackwater_batch_requests_total", 6, outcome="cancelled", **stuck)
    assert page.value("slackwater_backend_in_flight", **stuck) == 0
    assert page.value("slackwater_backend_attempts_total", outcome="aborted", **stuck) == 2


def test_a_backend_that_is_away_is_seen(place: tuple[Server, str]) -> None:
    """Nobody listens: the breaker is open, the window closed, and a key in the URL is not on the page."""
    server, url = place
    caller = Caller(server, "openai")
    batch_id = caller.create(chat(4, model="lost-batch")).json["id"]
    lost = {"deployment": "lost-batch"}
    page = until(url, "slackwater_backend_breaker_open", 1, **lost)
    assert page.value("slackwater_backend_window", **lost) <= 1
    assert page.value("slackwater_backend_attempts_total", outcome="unreachable", **lost) >= 1
    assert page.value("slackwater_backend_in_flight", backend="http://127.0.0.1:9/v1", **lost) <= 1
    assert "KEY-IN-A-QUERY" not in page.text
    caller("POST", f"/batches/{batch_id}/cancel")
    caller.ended(batch_id)


def test_every_promised_metric_is_there(place: tuple[Server, str]) -> None:
    """The page has each family of the table, with its kind and exactly its labels, and nothing of ours besides."""
    _, url = place
    families = {name: each for name, each in scrape(url).families.items() if name.startswith("slackwater_")}
    assert sorted(families) == sorted(metric.name for metric in METRICS)
    for metric in METRICS:
        family = families[metric.name]
        assert family.type == metric.kind.value
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(metric.labels), sample


def test_both_formats(place: tuple[Server, str]) -> None:
    """OpenMetrics for whoever asks for it, Prometheus' own text for everybody else; nothing may keep a copy."""
    _, url = place
    _, headers, text = get(url, Accept="application/openmetrics-text; version=1.0.0")
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n")
    _, headers, _ = get(url)
    assert headers["Content-Type"].startswith("text/plain")
    assert headers["Cache-Control"] == "no-store"


def test_an_address_of_its_own_is_the_only_one(place: tuple[Server, str]) -> None:
    """With `listen`, the port of the API has no such page, and the page's port has nothing else."""
    server, url = place
    assert get(f"http://{server.address}/metrics")[0] == 404
    assert get(url.replace("/metrics", "/openai/batches?api-version=2024-10-21"))[0] == 404


def test_only_the_service_s_own_keys_see_all(tmp_path: Path) -> None:
    """On the API's port: no key 401, the key of one resource 403 in words, a key of the configuration 200."""
    config = (
        '[server]\napi_key_envs = ["SERVICE_KEY"]\n[[deployments]]\nname = "d"\n[[deployments.backends]]\necho = {}\n'
    )
    (tmp_path / "slackwater.toml").write_text(config)
    made = slackwater("keys", "create", "--data", "data", "--role", "admin", cwd=tmp_path)
    tenant = made.stdout.split()[made.stdout.split().index("key1") + 1]
    server = Server(
        tmp_path / "slackwater.toml", tmp_path / "data", tmp_path / "log", {"SERVICE_KEY": "of-the-service"}
    )
    try:
        url = f"http://{server.address}/metrics"
        assert get(url)[0] == 401
        assert Caller(server, "openai", key=tenant)("GET", "/batches").status == 200
        status, _, text = get(url, Authorization=f"Bearer {tenant}")
        assert (status, "[metrics] listen" in json.loads(text)["error"]["message"]) == (403, True)
        page = scrape(url, Authorization="Bearer of-the-service")
        assert page.value("slackwater_http_requests_total", operation="metrics", code="4xx") == 2
    finally:
        server.kill()


def test_metrics_can_be_turned_off(tmp_path: Path) -> None:
    """Then there is no page, not even for the one who runs the service."""
    config = '[metrics]\nenabled = false\n[[deployments]]\nname = "d"\n[[deployments.backends]]\necho = {}\n'
    (tmp_path / "slackwater.toml").write_text(config)
    server = Server(tmp_path / "slackwater.toml", tmp_path / "data", tmp_path / "log")
    try:
        assert get(f"http://{server.address}/metrics")[0] == 404
    finally:
        server.kill()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ('listen = "0.0.0.0:9090"', "there is no key to ask for"),
        ('listen = "9090"', "must look like 127.0.0.1:9090"),
        ('listen = "127.0.0.1:nine"', "must look like 127.0.0.1:9090"),
        ('listen = "http://127.0.0.1:9090"', "must look like 127.0.0.1:9090"),
    ],
)
def test_addresses_that_are_refused(tmp_path: Path, settings: str, said: str) -> None:
    """A page that others could read without a key, and what is no address: refused before anything is opened."""
    text = f'[metrics]\n{settings}\n[[deployments]]\nname = "d"\n[[deployments.backends]]\necho = {{}}\n'
    (tmp_path / "slackwater.toml").write_text(text)
    refused = slackwater("serve", "--config", "slackwater.toml", "--port", "0", cwd=tmp_path)
    assert (refused.returncode, said in refused.stderr) == (2, True), refused.stderr


def test_a_full_ledger_hides_nothing_else(tmp_path: Path) -> None:
    """Where the ledger cannot be read, the page says so and has everything that others know."""
    (tmp_path / "slackwater.toml").write_text('[[deployments]]\nname = "d"\n[[deployments.backends]]\necho = {}\n')
    server = Server(tmp_path / "slackwater.toml", tmp_path / "data", tmp_path / "log")
    try:
        with sqlite3.connect(tmp_path / "data" / "ledger.sqlite") as database:
            database.execute("DROP INDEX batch_by_status")
        page = scrape(f"http://{server.address}/metrics")
        assert page.value("slackwater_ledger_read") == 0
        assert "slackwater_batches" not in page.families
        assert page.value("slackwater_build_info") == 1
        assert "metrics_incomplete" in (tmp_path / "log").read_text()
    finally:
        server.kill()


def test_a_new_worker_goes_on_counting_where_the_old_one_was(tmp_path: Path) -> None:
    """A deployment that is changed over the API gets new dispatchers; what they count does not begin at 0 again."""
    with CountingBackend(latency=0.0) as backend:
        (tmp_path / "slackwater.toml").write_text(
            f'[[deployments]]\nname = "d"\nmodel = "m"\n[[deployments.backends]]\nurl = "{backend.url}"\n'
        )
        server = Server(tmp_path / "slackwater.toml", tmp_path / "data", tmp_path / "log")
        try:
            caller = Caller(server, "openai")
            url, mine = f"http://{server.address}/metrics", {"deployment": "d"}
            for total in (5, 10):
                caller.ended(caller.create(chat(5, model="d")).json["id"])
                assert scrape(url).value("slackwater_batch_requests_total", outcome="completed", **mine) == total
        finally:
            server.kill()


def test_states_are_series(place: tuple[Server, str]) -> None:
    """An engine that nobody listens at is down; what is paused is paused, with its age; what is over is 0 and not gone."""
    server, url = place
    caller = Caller(server, "openai")
    batch_id = caller.create(chat(2, model="lost-batch")).json["id"]
    lost, engine = {"deployment": "lost-batch"}, {"engine": "http://127.0.0.1:9"}
    page = until(url, "slackwater_backend_state", 1, state="down", **lost)
    assert page.value("slackwater_engine_state", state="down", **engine) == 1
    assert page.value("slackwater_engine_state", state="ok", **engine) == 0
    assert page.value("slackwater_engine_slots", **engine) == 4
    assert page.value("slackwater_backend_breaker_open", **lost) == 1
    page = until(url, "slackwater_deployment_waiting_seconds", 1, **lost)
    assert page.value("slackwater_deployment_waiting_seconds", deployment="demo-batch") == 0
    assert page.value("slackwater_operator_pauses", what="engine") == 0
    assert caller("POST", "/engines/http:127.0.0.1:9/pause").status == 200
    page = until(url, "slackwater_operator_pauses", 1, what="engine")
    page = until(url, "slackwater_operator_pause_oldest_seconds", 1, what="engine")
    assert page.value("slackwater_operator_pause_oldest_seconds", what="batch") == 0
    assert page.value("slackwater_engine_state", state="paused", **engine) == 1
    assert page.value("slackwater_engine_state", state="down", **engine) == 0
    # Somebody wants it so: that is no trouble of the backend's.
    assert page.value("slackwater_backend_breaker_open", **lost) == 0
    assert page.value("slackwater_deployment_waiting_seconds", **lost) == 0
    assert caller("POST", "/engines/http:127.0.0.1:9/resume").status == 200
    caller("POST", f"/batches/{batch_id}/cancel")
    assert "KEY-IN-A-QUERY" not in scrape(url).text
