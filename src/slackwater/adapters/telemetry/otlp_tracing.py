"""Tracing with OpenTelemetry's own SDK, sent as OTLP over HTTP from a thread of its library. Loaded only where it is wanted.

Which spans there are is decided here, before the library is asked: what is not sampled costs one number drawn by chance.
"""

import asyncio
import contextlib
import re
import threading
from collections.abc import Callable, Mapping

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace import SpanKind as OtelKind

from slackwater import __version__
from slackwater.ports import Span, SpanKind

# W3C Trace Context, level 1. A later version may say more behind it, which is ignored.
TRACEPARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII
)
KINDS = {SpanKind.SERVER: OtelKind.SERVER, SpanKind.CLIENT: OtelKind.CLIENT, SpanKind.INTERNAL: OtelKind.INTERNAL}
# How long a stop waits for the collector.
CLOSE_SECONDS = 3.0


class OtlpTracing:
    """Makes spans and sends them to a collector. What the collector does not take in time is dropped, never waited for."""

    def __init__(self, endpoint: str, *, sample: float, chance: Callable[[], float]) -> None:
        """`endpoint` is the whole URL, such as `http://127.0.0.1:4318/v1/traces`. `sample` is a share from 0 to 1.

        The library reads the standard variables for headers, certificates, and the names of service and resource.
        """
        self._sample = sample
        self._chance = chance
        resource = Resource.create({"service.version": __version__})
        if str(resource.attributes.get("service.name", "unknown_service")).startswith("unknown_service"):
            resource = resource.merge(Resource({"service.name": "slackwater"}))
        self._provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
        self._tracer = self._provider.get_tracer("slackwater", __version__)

    def begin(
        self,
        name: str,
        kind: SpanKind,
        *,
        parent: str | None = None,
        link: str | None = None,
        attributes: Mapping[str, str | int | float],
    ) -> Span | None:
        """A span that begins now, or None where this one is not sampled."""
        above = _context(parent)
        if above is None:
            if self._chance() >= self._sample:
                return None
        elif not above.trace_flags.sampled:
            return None
        linked = _context(link)
        return OtlpSpan(
            self._tracer.start_span(
                name,
                # Never the library's idea of what is current: that would be some other task's.
                set_span_in_context(INVALID_SPAN if above is None else NonRecordingSpan(above)),
                KINDS[kind],
                attributes,
                [] if linked is None else [Link(linked)],
            )
        )

    async def close(self) -> None:
        """Sends what is left. The collector may be slow, or gone: a stop waits for it a bounded time, and no longer."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def end() -> None:
            self._provider.shutdown()
            # Too late for anybody to hear of it, where the loop has ended.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(done.set)

        # Not a thread of the loop's pool: the end of the loop would wait for that.
        threading.Thread(target=end, name="last-spans", daemon=True).start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await done.wait()


class OtlpSpan:
    """A span of the library."""

    def __init__(self, span: OtelSpan) -> None:
        self._span = span

    @property
    def traceparent(self) -> str:
        """Its name for others."""
        context = self._span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"

    def note(self, attributes: Mapping[str, str | int | float]) -> None:
        """Says more about it."""
        self._span.set_attributes(attributes)

    def fail(self, reason: str) -> None:
        """It did not go well."""
        self._span.set_attribute("error.type", reason)
        self._span.set_status(Status(StatusCode.ERROR))

    def end(self) -> None:
        """It is over."""
        self._span.end()


def _context(traceparent: str | None) -> SpanContext | None:
    """Whose span a header names; None for no header, or one that is not as the standard says."""
    found = None if traceparent is None else TRACEPARENT.fullmatch(traceparent)
    if found is None or (found[1] == "00" and found[5]):
        return None
    flags = TraceFlags(int(found[4], 16) & TraceFlags.SAMPLED)
    return SpanContext(int(found[2], 16), int(found[3], 16), is_remote=True, trace_flags=flags)
