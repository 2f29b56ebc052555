"""Every state of a backend is seen wherever operators look: `/readyz`, the metrics and `deployment_status`."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.calls import Caller, chat
from tests.moody_engine import HANGS_UP, SILENT, WELL, MoodyEngine
from tests.operate.test_readiness import asked, served, until
from tests.server import Server

MOODS: dict[str, tuple[str | int, str]] = {
    # A deployment for each: how its engine answers, and what its backend is then.
    "well": (WELL, "ok"),
    "failing": (500, "down"),
    "hanging": (HANGS_UP, "down"),
    "keyless": (401, "refusing"),
    "modelless": (404, "refusing"),
    "penniless": (402, "blocked"),
    "busy": (429, "busy"),
    "silent": (SILENT, "ok"),
    "held": (WELL, "paused"),
}
HEALTH = {"ok": "serving", "busy": "waiting"}


@pytest.fixture(scope="module")
def engines() -> Iterator[dict[str, MoodyEngine]]:
    """One for each deployment."""
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(MoodyEngine(mood)) for name, (mood, _) in MOODS.items()}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, engines: dict[str, MoodyEngine]) -> Iterator[Server]:
    """A server over all of them."""
    config = "".join(
        f'[[deployments]]\nname = "{name}"\n[[deployments.backends]]\nurl = "{engine.url}"\nconcurrency = 2\n'
        for name, engine in engines.items()
    )
    root: Path = tmp_path_factory.mktemp("states")
    with served(root, config) as server:
        yield server


def test_a_url_without_its_v1(tmp_path: Path) -> None:
    """What waits says what the url may have to be, and so does the log: there is nothing to be seen at the engine."""
    with MoodyEngine(405) as engine:
        url = engine.url.removesuffix("/v1")
        config = f'[[deployments]]\nname = "lost"\n[[deployments.backends]]\nurl = "{url}"\n'
        with served(tmp_path, config) as server:
            call = Caller(server, "azure-v1")
            batch = call.create(chat(4, model="lost")).json["id"]
            until(lambda: _waits(call) == {"lost": "refusing"})
            waits = call("GET", f"/batches/{batch}/progress").json["waiting_on"]["reason"]
            assert waits.endswith(f"It may have to be {engine.url}")
            assert f"It may have to be {engine.url}" in (tmp_path / "server.log").read_text()


def test_every_state_is_seen_everywhere(server: Server, engines: dict[str, MoodyEngine]) -> None:
    """Each backend is what its engine makes of it; the service is ready nevertheless; what is silent is seen to be so."""
    call = Caller(server, "azure-v1")
    held = engines["held"].url.removesuffix("/v1").replace("//", "")
    assert call("POST", f"/engines/{held}/pause", {"reason": "new driver"}).status == 200
    for name in MOODS:
        call.create(chat(4, model=name))

    def seen() -> dict[str, str]:
        return {each["name"]: each["backends"][0]["health"] for each in call("GET", "/deployment_status").json["data"]}

    wanted = {name: state for name, (_, state) in MOODS.items()}
    until(lambda: seen() == wanted)
    status = {each["name"]: each for each in call("GET", "/deployment_status").json["data"]}
    for name, state in wanted.items():
        backend = status[name]["backends"][0]
        assert status[name]["health"] == HEALTH.get(state, state)
        assert (backend["since"] is None) == (backend["reason"] is None) == (state == "ok")
        assert (backend["until"] is None) == (state in ("ok", "paused"))
    until(lambda: _waits(call) == {name: None if state == "ok" else state for name, state in wanted.items()})
    until(
        lambda: {each["name"] for each in call("GET", "/deployment_status").json["data"] if _quiet(each)} == {"silent"}
    )
    silent = [each["deployments"] for each in call("GET", "/engines").json["data"] if each["quiet_since"] is not None]
    assert silent == [["silent"]]
    code, body = asked(server.address)
    assert (code, body["status"]) == (200, "ready")
    assert body["backends"] == {"ok": 2, "down": 2, "refusing": 2, "blocked": 1, "busy": 1, "paused": 1}

    def metered() -> set[tuple[str, str]]:
        page = Caller(server, "")("GET", "/metrics").body.decode()
        lines = [
            line for line in page.splitlines() if line.startswith("slackwater_backend_state{") and line.endswith(" 1.0")
        ]
        return {(line.split('deployment="')[1].split('"')[0], line.split('state="')[1].split('"')[0]) for line in lines}

    until(lambda: metered() == set(wanted.items()))


def _quiet(status: Any) -> bool:
    return any(backend["quiet_since"] is not None for backend in status["backends"])


def _waits(call: Caller) -> dict[str, str | None]:
    rows = call("GET", "/batch_overview", query="limit=50").json["data"]
    return {row["deployment"]: row["waiting_on"] and row["waiting_on"]["health"] for row in rows}


def test_what_works_again_is_seen_to_work(server: Server, engines: dict[str, MoodyEngine]) -> None:
    """Each comes back by itself, or is tried at once; then every batch is answered."""
    call = Caller(server, "azure-v1")
    for engine in engines.values():
        engine.mood = WELL
    held = engines["held"].url.removesuffix("/v1").replace("//", "")
    call("POST", f"/engines/{held}/resume")
    for name in MOODS:
        call("POST", f"/deployments/{name}/try")
    for batch in call("GET", "/batches").json["data"]:
        assert call.ended(batch["id"])["request_counts"] == {"total": 4, "completed": 4, "failed": 0}
    until(lambda: asked(server.address)[1]["backends"] == {"ok": len(MOODS)})
