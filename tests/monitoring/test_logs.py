"""The log in both formats: lines that a machine reads, under one name per call, and nothing in them that is a secret."""

import io
import json
import logging
import re
from pathlib import Path
from typing import Any

from slackwater.telemetry import Call, call_in_hand, event
from slackwater.telemetry.logs import JsonFormatter
from tests.api.calls import Caller, chat
from tests.monitoring.collector import Collector, Engine
from tests.server import Server

CONFIG = """
[server]
api_key_envs = ["SERVICE_KEY"]
[[deployments]]
name = "demo-batch"
[[deployments.backends]]
url = "{url}"
api_key_env = "ENGINE_KEY"
attempts = 2
"""
SECRETS = {
    "prompt": "the-word-that-is-in-every-prompt",
    "answer": "ANSWER-TEXT",
    "key of the service": "key-of-the-service-0123456789",
    "key of the engine": "key-of-the-engine-0123456789",
    "wrong key": "somebody-s-wrong-key-0123456789",
}
TRACE = "0af7651916cd43dd8448eb211c80319c"


def run(scratch: Path, log_format: str, environment: dict[str, str] | None = None) -> tuple[str, str, str]:
    """A batch with failures, a refused key and a refused create; returns the log, the batch's id, and its create call's."""
    with Engine(failures=1) as engine:
        (scratch / "slackwater.toml").write_text(CONFIG.format(url=engine.url))
        server = Server(
            scratch / "slackwater.toml",
            scratch / "data",
            scratch / "log",
            {"SERVICE_KEY": SECRETS["key of the service"], "ENGINE_KEY": SECRETS["key of the engine"]}
            | (environment or {}),
            module=("slackwater", "serve", "--log-format", log_format, "--log-level", "debug"),
        )
        caller = Caller(server, "openai", key=SECRETS["key of the service"])
        assert Caller(server, "openai", key=SECRETS["wrong key"])("GET", "/batches").status == 401
        assert caller("POST", "/batches", {"input_file_id": SECRETS["prompt"]}).status == 400
        created = caller.create(
            chat(5, text=SECRETS["prompt"]), headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
        )
        caller.ended(created.json["id"])
        assert server.terminate() == 0
    return (scratch / "log").read_text(), created.json["id"], created.headers["x-request-id"]


def told(log: str) -> list[str]:
    """Which secrets a log has."""
    return [name for name, secret in SECRETS.items() if secret in log]


def test_no_secret_reaches_the_log(tmp_path: Path) -> None:
    """Neither prompts and answers nor keys, right or wrong, at the most talkative level."""
    log, batch_id, _ = run(tmp_path, "text")
    assert f"INFO batch_created batch={batch_id}" in log
    assert told(log) == []


def test_json_lines(tmp_path: Path) -> None:
    """Each line is an object with a time in UTC, a level and an event; those of a call carry its id and its trace.

    No secret is in them, either.
    """
    with Collector() as collector:
        log, batch_id, request_id = run(tmp_path, "json", {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url})
    assert told(log) == []
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    # What is said to the person at the terminal is not the log.
    said = {line.partition(":")[0].partition(";")[0] for line in log.splitlines() if not line.startswith("{")}
    assert said <= {"stopping", "stopped"}
    for line in lines:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["time"]), line
        assert line["level"] in ("debug", "info", "warning", "error"), line
    (created,) = [line for line in lines if line["event"] == "batch_created"]
    assert created["fields"]["batch"] == batch_id
    assert (created["request_id"], created["trace_id"]) == (request_id, TRACE)
    (ended,) = [line for line in lines if line["event"] == "batch_ended"]
    assert ended["fields"]["completed"] == 5
    assert "request_id" not in ended


def formatted(record_of: Any) -> Any:
    """The JSON of what is logged meanwhile, by the formatter itself."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    log = logging.getLogger("slackwater")
    log.addHandler(handler)
    try:
        record_of(log)
    finally:
        log.removeHandler(handler)
    (line,) = stream.getvalue().splitlines()
    return json.loads(line)


def test_fields_cannot_take_the_place_of_what_a_line_has() -> None:
    """An event's own `time` or `level` stays among its fields, and values that are no JSON become text."""
    line = formatted(lambda log: event("odd", level=logging.WARNING, time=3, event="x", path=Path("a\nb")))
    assert (line["event"], line["level"]) == ("odd", "warning")
    assert line["fields"] == {"time": 3, "event": "x", "path": "a\nb"}


def test_an_error_keeps_its_traceback_on_one_line() -> None:
    """What is no event is a message; a traceback is one value."""

    def fail(log: logging.Logger) -> None:
        try:
            raise ValueError("broken")
        except ValueError:
            log.exception("request_failed id=%s", "7")

    line = formatted(fail)
    assert (line["event"], line["message"]) == ("log", "request_failed id=7")
    assert line["error"].endswith("ValueError: broken")


def test_a_task_that_outlives_its_call_is_not_part_of_it() -> None:
    """What was begun during a call and goes on after its answer logs without the call's id."""
    call = Call("the-call")
    token = call_in_hand.set(call)
    try:
        assert formatted(lambda log: event("during", level=logging.WARNING))["request_id"] == "the-call"
        call.over = True
        assert "request_id" not in formatted(lambda log: event("after", level=logging.WARNING))
    finally:
        call_in_hand.reset(token)
