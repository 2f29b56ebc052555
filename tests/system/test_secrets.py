"""No secret of a backend, a classifier or a webhook is said anywhere: not in the log, on the screen, in errors or metrics.

The engines here are of the worst kind: they send back whatever they were given, as gateways do that say which key is wrong.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.calls import Caller, chat
from tests.cli.scripted import Call, Reply, scripted
from tests.server import Server

# Nothing else may hold this word. Keys, queries, names of users, paths of webhooks: each a place of its own.
MARK = "sesame"
KEY, OTHER_KEY, HEADER = f"sk-{MARK}-key-0123456789", f"sk-{MARK}-of-the-filter", f"{MARK}-in-a-header"
QUERY, USER, PATH = f"{MARK}-in-a-query", f"{MARK}-the-user", f"{MARK}-in-a-path"

CONFIG = """
[imports]
enabled = true
hosts = ["127.0.0.1:{port}"]
allow_http = true
allow_private_addresses = true
[webhooks]
allow_http = true
allow_private_addresses = true
[[content_filters]]
name = "strict"
[content_filters.classifier]
url = "http://127.0.0.1:{port}/classify?code={query}"
api_key_env = "FILTER_KEY"
attempts = 1
"""
DEPLOYMENT = """
[[deployments]]
name = "{name}"
{more}
[[deployments.backends]]
url = "http://127.0.0.1:{port}/{name}/v1?code={query}"
api_key_env = "ENGINE_KEY"
headers = {{ "x-gate" = "{header}" }}
attempts = 1
"""
KINDS = ("refuses", "breaks", "inside", "own", "moves", "page", "filtered")


def echo(call: Call) -> Reply:
    """Says back what it was sent, in a way that depends on the path."""
    given = f"wrong: {call.headers} at {call.path}"
    error = {"error": {"message": given, "code": given}}
    kind = call.path.split("/")[1]
    if kind == "moves":
        return Reply.of({}, 302, Location=f"http://127.0.0.1:1{call.path}")
    if kind == "page":
        return Reply(f"<html>{given}</html>".encode())
    if kind == "filtered":
        return Reply.of({"choices": [{"message": {"role": "assistant", "content": "fine"}}]})
    return Reply.of(error, {"refuses": 401, "breaks": 500, "inside": 200, "own": 400}.get(kind, 403))


@pytest.fixture
def told(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Everything that a server says while all of that happens to it, by the place where it says it."""
    with scripted(echo) as engine:
        port = engine.url.rpartition(":")[2]
        values = {"port": port, "query": QUERY, "header": HEADER}
        config = CONFIG.format(**values)
        for name in KINDS:
            config += DEPLOYMENT.format(name=name, more='rai_policy_name = "strict"' * (name == "filtered"), **values)
        (tmp_path / "slackwater.toml").write_text(config)
        keys = {"ENGINE_KEY": KEY, "FILTER_KEY": OTHER_KEY}
        said = {}
        for how in ("text", "json"):
            data, log = tmp_path / how, tmp_path / f"{how}.log"
            module = ("slackwater", "serve", "--log-level", "debug", "--log-format", how)
            server = Server(tmp_path / "slackwater.toml", data, log, keys, module=module)
            try:
                said |= _asked(server, port, how)
            finally:
                server.terminate()
            said[f"{how}: log"] = log.read_text()
        for command in ("doctor", "check-config"):
            said[command] = _ran(tmp_path, keys, command)
        yield said


def _asked(server: Server, port: str, how: str) -> dict[str, str]:
    call = Caller(server, "openai")
    said = {}
    hook = {"name": "ours", "url": f"http://127.0.0.1:{port}/{PATH}?t={QUERY}", "event_types": ["batch.completed"]}
    endpoint = call("POST", "/webhook_endpoints", hook).json
    batches = {name: call.create(chat(2, model=name)).json["id"] for name in KINDS}
    source = f"http://127.0.0.1:{port}/{PATH}/in.jsonl?sig={QUERY}"
    body = {"purpose": "batch", "filename": "in.jsonl", "content_url": source}
    imported = Caller(server, "azure")("POST", "/files/import", body)
    said[f"{how}: import"] = imported.body.decode()
    assert imported.status < 300, imported.body
    for name in ("own", "page"):
        batch = call.ended(batches[name])
        said[f"{how}: errors of {name}"] = call("GET", f"/files/{batch['error_file_id']}/content").body.decode()
    for name, batch_id in batches.items():
        said[f"{how}: batch {name}"] = call("GET", f"/batches/{batch_id}").body.decode()
        said[f"{how}: progress {name}"] = call("GET", f"/batches/{batch_id}/progress").body.decode()
        said[f"{how}: status {name}"] = call("GET", f"/deployments/{name}/status").body.decode()
    call("POST", f"/webhook_endpoints/{endpoint['id']}/test")
    for path in ("/metrics", "/readyz"):
        said[f"{how}: {path}"] = Caller(server, "")("GET", path).body.decode()
    for path in ("/engines", "/audit", "/batch_overview", "/deployment_status", "/deployments", "/deployments/own"):
        said[f"{how}: {path}"] = call("GET", path).body.decode()
    return said


def _ran(folder: Path, keys: dict[str, str], command: str) -> str:
    """What a command says about the configuration."""
    config = str(folder / "slackwater.toml")
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "slackwater",
            command,
            *((config,) if command == "check-config" else ("--config", config)),
        ],
        capture_output=True,
        text=True,
        env={"PATH": "", **keys},
        cwd=folder,
        timeout=60,
        check=False,
    )
    return ran.stdout + ran.stderr


def test_no_secret_is_said_anywhere(told: dict[str, str]) -> None:
    """Whatever happens to a call, nobody reads a key, a query or a name that only the configuration may know."""
    assert all(told.values())
    leaks = {place: [line[:300] for line in text.splitlines() if MARK in line][:3] for place, text in told.items()}
    assert {place: lines for place, lines in leaks.items() if lines} == {}


@pytest.mark.parametrize(
    "wrong",
    [
        f'[[deployments.backends]]\nurl = "http://{USER}:{KEY}@127.0.0.1:1/v1?code={QUERY}"',
        f'[[deployments.backends]]\nurl = "htp://127.0.0.1:1/v1?code={QUERY}"',
        f'[[deployments.backends]]\nurl = "{USER}:{KEY}@127.0.0.1:1/v1?code={QUERY}"',
        f'[[deployments.backends]]\nurl = "http://127.0.0.1:99999/v1?code={QUERY}"',
        f'[[deployments.backends]]\nurl = "http://127.0.0.1:1/v1?code={QUERY}"\nconcurrency = 0',
        f'[[deployments.backends]]\necho = {{}}\n[[engines]]\nurl = "htp://{USER}:{KEY}@127.0.0.1:1?{QUERY}"\nconcurrency = 1',
        '[[deployments.backends]]\necho = {}\n[[content_filters]]\nname = "x"\n[content_filters.classifier]\n'
        f'url = "http://{USER}:{KEY}@127.0.0.1:1/v1?code={QUERY}"\nkind = "unheard"',
    ],
)
def test_a_configuration_is_refused_without_saying_what_is_secret_in_it(wrong: str, tmp_path: Path) -> None:
    """Where the fault is, is said all the same."""
    (tmp_path / "slackwater.toml").write_text(f'[[deployments]]\nname = "demo"\n{wrong}\n')
    for command in ("serve", "check-config", "doctor"):
        said = _ran(tmp_path, {}, command)
        assert "demo" in said or "127.0.0.1" in said or "'x'" in said, said
        assert MARK not in said, said


@pytest.mark.parametrize("place", ["127.0.0.1:1", "127.0.0.1:99999"])
def test_a_run_that_nobody_answers_says_no_secret(place: str, tmp_path: Path) -> None:
    """Neither what is wrong with the URL nor that nobody is there needs more of it than its place."""
    (tmp_path / "in.jsonl").write_bytes(chat(1, model="m"))
    url = f"http://{USER}:{KEY}@{place}/v1?code={QUERY}"
    command = [sys.executable, "-m", "slackwater", "run", "in.jsonl", "-o", "out.jsonl", "--backend", url]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False)
    assert ran.returncode in (2, 4)
    assert "127.0.0.1" in ran.stderr
    assert MARK not in ran.stderr
