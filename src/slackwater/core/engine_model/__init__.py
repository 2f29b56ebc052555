"""A model of an inference engine: what one step of continuous batching does, and how long it takes.

Nothing here waits. Whoever drives it says when a step begins and ends, so the same model runs in virtual time (benchmarks)
and behind HTTP in scaled real time (`slackwater sim-engine`). Times are seconds, sizes are tokens.
"""

from slackwater.core.engine_model.engine import EngineModel
from slackwater.core.engine_model.profile import Profile, profile_from
from slackwater.core.engine_model.requests import EngineRequest, Segment, State
from slackwater.core.engine_model.step import Queueing, StepEnd
from slackwater.core.engine_model.traces import Arrival, Trace, arrivals_of, trace_from

__all__ = [
    "Arrival",
    "EngineModel",
    "EngineRequest",
    "Profile",
    "Queueing",
    "Segment",
    "State",
    "StepEnd",
    "Trace",
    "arrivals_of",
    "profile_from",
    "trace_from",
]
