"""What is counted, one at a time: how calls to a backend end, where a value of a histogram falls, whose numbers live how long."""

import pytest

from slackwater.core.errors import BackendReplyBroken, BackendTimeout, BackendUnreachable
from slackwater.core.sending.request import Reply
from slackwater.telemetry import Histogram, Meters
from slackwater.wiring.backends import label_of
from tests.pipeline.engines import GOOD
from tests.pipeline.test_dispatcher import attempted


@pytest.mark.parametrize(
    ("answer", "outcome", "resent"),
    [
        (GOOD, "success", 0),
        (Reply(200, b"<html>a proxy's page"), "broken", 1),
        (Reply(400, b"{}"), "refused", 0),
        (Reply(408, b"{}"), "refused", 1),
        (Reply(302, b""), "refused", 1),
        (Reply(401, b""), "refused", 1),
        (Reply(500, b"{}"), "error", 1),
        (Reply(429, b"{}"), "busy", 1),
        (Reply(402, b"{}"), "refused", 1),
        (Reply(503, b"{}", 2.0), "busy", 1),
        (BackendTimeout("late"), "timeout", 1),
        (BackendUnreachable("away", sent=False), "unreachable", 1),
        (BackendReplyBroken("half"), "broken", 1),
    ],
)
def test_how_a_call_ends_is_counted_once(answer: Reply | Exception, outcome: str, resent: int) -> None:
    """One outcome per call; its time counts, it is in flight no more, and whether it is sent again is known."""
    _, dispatcher, _ = attempted(answer)
    meter = dispatcher.meter
    assert {name: number for name, number in meter.outcomes.items() if number} == {outcome: 1}
    assert (meter.sent, meter.seconds.count, meter.in_flight, meter.resent) == (1, 1, 0, resent)


def test_a_setback_counts_before_it_is_judged() -> None:
    """Whether a line is sent again is known later; a call that did not end it counts once, the last one, too."""
    _, dispatcher, backend = attempted(Reply(500, b"{}"), attempts=1)
    assert (dispatcher.meter.resent, dispatcher.meter.sent, len(backend.sent)) == (1, 1, 1)


def test_the_window_follows_the_door() -> None:
    """All slots of a backend that is well, none of one that is away."""
    _, well, _ = attempted(GOOD)
    _, away, _ = attempted(BackendUnreachable("away", sent=False))
    _, refusing, _ = attempted(Reply(401, b"{}"))
    assert (well.window, away.window, refusing.window) == (1, 0, 0)


@pytest.mark.parametrize(("value", "place"), [(0.0, 0), (1.0, 0), (1.5, 1), (2.0, 1), (2.1, 2), (99.0, 2)])
def test_where_a_value_falls(value: float, place: int) -> None:
    """A bound belongs to what lies below it, as Prometheus' `le` says."""
    histogram = Histogram((1.0, 2.0))
    histogram.observe(value)
    assert histogram.counts == [int(index == place) for index in range(3)]
    assert (histogram.count, histogram.total) == (1, value)


def test_a_backend_s_numbers_live_as_long_as_somebody_counts() -> None:
    """Who takes over while the one before is there goes on; when nobody is left, the numbers go."""
    meters = Meters()
    first = meters.backend("d", "b")
    second = meters.backend("d", "b")
    assert first is second
    del first
    assert list(meters.backends()) == [("d", "b")]
    del second
    assert meters.backends() == {}


def test_a_deleted_deployment_takes_its_numbers_along() -> None:
    """Deployments come and go over the API; the page does not grow with them."""
    meters = Meters()
    meters.deployment("d").completed += 1
    meters.forget_deployment("d")
    assert meters.deployments() == {}


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("built-in", "built-in"),
        ("http://10.0.0.5:8000/v1", "http://10.0.0.5:8000/v1"),
        ("https://east.openai.azure.com/openai/v1?code=KEY", "https://east.openai.azure.com/openai/v1"),
    ],
)
def test_labels_of_backends(name: str, label: str) -> None:
    """A URL without its query, where some servers want a key."""
    assert label_of(name) == label
