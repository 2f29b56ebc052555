"""How engines are paced on the wire, now and in a step of time; and which steps somebody asks for."""

from typing import Literal

from starlette.requests import Request

from slackwater.api import objects
from slackwater.api.context import Context, query_integer
from slackwater.core.errors import InvalidRequest
from slackwater.core.sending.pacing_view import PacingView
from slackwater.core.watching.engine_minutes import MINUTE, EngineMinute

State = Literal["ok", "busy", "refusing", "blocked", "down", "paused"]
# What is shown where nobody says from when on.
SHOWN_SECONDS = 3 * 3_600
# Steps that one answer has at most: a day of minutes, five weeks of hours.
POINTS_MAX = 1_500
MOMENT_MAX = 2**40


def asked_span(request: Request, context: Context) -> tuple[int, int, int]:
    """From when on, before when, and in steps of how many seconds somebody wants to see."""
    step = query_integer(request, "step", default=MINUTE, least=MINUTE, most=86_400)
    if step % MINUTE:
        raise InvalidRequest("'step' must be a whole number of minutes, in seconds: 60, 300, 3600.", param="step")
    now = int(context.clock.now())
    last = query_integer(request, "to", default=now, least=0, most=MOMENT_MAX)
    first = query_integer(request, "from", default=max(0, last - SHOWN_SECONDS), least=0, most=MOMENT_MAX)
    if first >= last:
        raise InvalidRequest("'from' must be before 'to'; both are seconds since 1970.", param="from")
    if (last - first) // step > POINTS_MAX:
        raise InvalidRequest(
            f"These are more than {POINTS_MAX:,} steps. Ask for a shorter time, or give a larger 'step' in seconds.",
            param="step",
        )
    return first - first % step, last, step


def shown_pacing(view: PacingView, *, whole: bool) -> objects.EnginePacing:
    """How an engine is paced now. `whole`: nobody else's batches can be told from it."""
    return objects.EnginePacing(
        pace=str(view.pace),
        pace_from="command" if view.said else "configuration",
        configured_pace=str(view.configured),
        state=view.state.value,
        why=view.why or None,
        window=view.window,
        in_flight=view.in_flight if whole else None,
        others=_whole(view.others),
        waiting=_whole(view.waiting),
        step_ms=_milliseconds(view.step),
        alone_ms=_milliseconds(view.alone),
        target_ms=_milliseconds(view.target),
        slice_tokens=view.slice,
        frozen=view.frozen or None,
        frozen_since=_whole(view.frozen_since),
        slower=None if view.slower is None else round(view.slower, 2),
        slower_most=None if view.slower_most is None else round(view.slower_most, 2),
    )


def shown_minute(minute: EngineMinute) -> objects.PacingPoint:
    """How an engine was paced in a step."""
    paced, shared = minute.paced_seconds, minute.shared_seconds
    return objects.PacingPoint(
        seconds=round(paced, 1),
        window=mean(minute.window_seconds, paced, 1),
        others=mean(minute.others_seconds, paced, 1),
        waiting=mean(minute.waiting_seconds, paced, 1),
        shared_seconds=round(shared, 1),
        step_ms=mean(1000 * minute.step_sum, shared, 2),
        alone_ms=mean(1000 * minute.alone_sum, shared, 2),
        target_ms=mean(1000 * minute.target_sum, minute.target_seconds, 2),
        frozen_seconds=round(minute.frozen_seconds, 1),
        cache_full_seconds=round(minute.cache_full_seconds, 1),
        lost_seconds=round(minute.lost_seconds, 1),
    )


def mean(total: float, seconds: float, digits: int) -> float | None:
    """A sum over so many seconds, as a mean; None where there were none."""
    return round(total / seconds, digits) if seconds > 0.0 else None


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)
