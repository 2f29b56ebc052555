"""Traces of a real server, as a collector on this machine gets them: calls, validation, and requests to backends."""

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from slackwater.adapters.telemetry.otlp_tracing import OtlpTracing
from slackwater.config import load
from slackwater.core.errors import ConfigError
from slackwater.ports import SpanKind
from tests.api.calls import Caller, chat
from tests.monitoring.collector import Collector, Engine, attributes
from tests.server import Server

CONFIG = '{tracing}[[deployments]]\nname = "demo-batch"\n[[deployments.backends]]\nurl = "{url}?key=KEY-IN-A-QUERY"\n'
PROMPT = "the-word-that-is-in-every-prompt"
# A caller's own span, sampled.
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def run_batch(
    scratch: Path, engine: Engine, tracing: str, environment: Mapping[str, str] | None = None, count: int = 5
) -> str:
    """One batch whose create call brings a traceparent, from start to end of a server; returns the batch's id."""
    (scratch / "slackwater.toml").write_text(CONFIG.format(tracing=tracing, url=engine.url))
    server = Server(scratch / "slackwater.toml", scratch / "data", scratch / "log", environment)
    caller = Caller(server, "openai", key="KEY-OF-A-CALLER")
    created = caller.create(chat(count, text=PROMPT), headers={"traceparent": PARENT}).json
    caller.ended(created["id"])
    # What has not been sent is sent now.
    assert server.terminate() == 0, (scratch / "log").read_text()
    batch_id: str = created["id"]
    return batch_id


def named(collector: Collector, name: str) -> list[Span]:
    """The spans of this name."""
    return [span for span in collector.all() if span.name == name]


def test_a_batch_can_be_followed(tmp_path: Path) -> None:
    """The create call is part of its caller's trace, validation part of it, and each request's span points back to it."""
    with Collector() as collector, Engine(failures=1) as engine:
        tracing = f'[tracing]\nendpoint = "{collector.url}/v1/traces"\nsample = 1.0\n'
        batch_id = run_batch(tmp_path, engine, tracing)
        (create,) = named(collector, "POST /v1/batches")
        (validate,) = named(collector, "validate")
        calls = named(collector, "chat")
        requests = [span for span in calls if "slackwater.batch.id" in attributes(span)]
        assert collector.services == {"slackwater"}

        assert (create.trace_id.hex(), create.parent_span_id.hex()) == (PARENT[3:35], PARENT[36:52])
        assert create.kind == Span.SPAN_KIND_SERVER
        found = attributes(create)
        assert (found["http.request.method"], found["http.route"]) == ("POST", "/v1/batches")
        assert (found["http.response.status_code"], found["slackwater.resource"]) == (200, "default")

        assert (validate.trace_id, validate.parent_span_id) == (create.trace_id, create.span_id)
        assert attributes(validate)["slackwater.batch.requests"] == 5

        # Five requests, one of them twice. Each is a trace of its own: a batch may have a hundred thousand.
        assert len(requests) == len({span.trace_id for span in requests}) == 6
        for span in requests:
            assert span.kind == Span.SPAN_KIND_CLIENT
            assert not span.parent_span_id
            assert [(link.trace_id, link.span_id) for link in span.links] == [(create.trace_id, create.span_id)]
            found = attributes(span)
            assert (found["slackwater.batch.id"], found["slackwater.deployment"]) == (batch_id, "demo-batch")
            assert (found["gen_ai.operation.name"], found["gen_ai.request.model"]) == ("chat", "demo-batch")
        good = [attributes(span) for span in requests if attributes(span)["http.response.status_code"] == 200]
        (bad,) = [span for span in requests if attributes(span)["http.response.status_code"] == 500]
        assert attributes(bad)["error.type"] == "500"
        assert {
            (found["gen_ai.response.model"], found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"])
            for found in good
        } == {("tide-7b-2026", 11, 7)}
        assert [found["http.request.resend_count"] for found in good if "http.request.resend_count" in found] == [1]

        # A request of our own, to tell whose trouble the 500 is, belongs to no batch.
        assert len(calls) - len(requests) <= 1
        assert not any(span.links for span in calls if span not in requests)

        # The backend was told which span each call belongs to.
        ours = {f"00-{span.trace_id.hex()}-{span.span_id.hex()}-01" for span in calls}
        assert set(engine.traceparents) == ours

        shown = "".join(map(str, collector.all()))
        for secret in (PROMPT, "ANSWER-TEXT", "KEY-OF-A-CALLER", "KEY-IN-A-QUERY"):
            assert secret not in shown


def test_what_is_not_sampled_is_not_told_to_anybody(tmp_path: Path) -> None:
    """With a share of 0, only the call whose caller samples is traced, and no backend gets a header."""
    with Collector() as collector, Engine() as engine:
        run_batch(tmp_path, engine, f'[tracing]\nendpoint = "{collector.url}/v1/traces"\nsample = 0.0\n')
        assert sorted(span.name for span in collector.all()) == ["POST /v1/batches", "validate"]
        assert engine.traceparents == [None] * 5


def test_the_standard_variable_is_enough(tmp_path: Path) -> None:
    """OTEL_EXPORTER_OTLP_ENDPOINT names the collector, OTEL_SERVICE_NAME the service; a setting in the file wins."""
    with Collector() as collector, Engine() as engine:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_SERVICE_NAME": "night-shift"}
        run_batch(tmp_path, engine, "", environment)
        assert [span.name for span in collector.all() if span.name == "validate"] == ["validate"]
        assert collector.services == {"night-shift"}


def test_without_a_collector_nothing_is_loaded(tmp_path: Path) -> None:
    """No collector, no header, and not a module of the library in the process."""
    with Engine() as engine:
        run_batch(tmp_path, engine, "", {"OTEL_EXPORTER_OTLP_ENDPOINT": ""})
        assert engine.traceparents == [None] * 5
    loaded = "import sys, slackwater.cli.serve; print([name for name in sys.modules if 'opentelemetry' in name])"
    printed = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


def test_a_collector_that_is_away_costs_no_request(tmp_path: Path) -> None:
    """Nobody takes the spans: the batch completes, and the server stops soon."""
    with Engine() as engine:
        run_batch(tmp_path, engine, '[tracing]\nendpoint = "http://127.0.0.1:9/v1/traces"\nsample = 1.0\n')
        assert len(engine.traceparents) == 5


@pytest.mark.parametrize(
    ("header", "traced"),
    [
        (PARENT, True),
        (PARENT.removesuffix("01") + "00", False),
        # A version to come may say more; ours is read.
        ("01" + PARENT[2:] + "-more", True),
        # Not as the standard says: as if there were none, and of those a share of 0 is sampled.
        ("00" + PARENT[2:] + "-more", False),
        ("ff" + PARENT[2:], False),
        (PARENT.upper(), False),
        ("00-" + "0" * 32 + "-b7ad6b7169203331-01", False),
        ("00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01", False),
        ("", False),
        ("x" * 10_000, False),
        (None, False),
    ],
)
def test_whose_headers_are_followed(header: str | None, traced: bool) -> None:
    """A traceparent decides whether there is a span, where it is one; the flag of its sender counts."""
    with Collector() as collector:
        tracing = OtlpTracing(f"{collector.url}/v1/traces", sample=0.0, chance=lambda: 0.5)
        span = tracing.begin("call", SpanKind.SERVER, parent=header, attributes={})
        assert (span is not None) == traced
        if span is not None:
            assert span.traceparent[:36] == f"00-{PARENT[3:35]}-"
            span.end()
        asyncio.run(tracing.close())
        assert len(collector.all()) == traced


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("sample = 1.5", "sample must be between 0 and 1"),
        ('endpoint = "127.0.0.1:4318"', "endpoint must be a URL"),
    ],
)
def test_settings_that_are_refused(tmp_path: Path, setting: str, said: str) -> None:
    """A share that is none, and a collector that is no URL, are faults of the configuration."""
    (tmp_path / "s.toml").write_text(f"[tracing]\n{setting}\n" + CONFIG.format(tracing="", url="http://127.0.0.1:9/v1"))
    with pytest.raises(ConfigError) as refused:
        load(tmp_path / "s.toml", {})
    assert said in str(refused.value)
