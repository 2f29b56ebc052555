"""What the service says of itself: log events and their counts, and meters for everything else that is counted.

Nothing here sends anything anywhere: whoever wants metrics asks for them (adapters/telemetry/prometheus_page.py), and traces
are made behind a port of their own (ports/tracing.py).
"""

from slackwater.telemetry.calls import (
    Call,
    Work,
    call_in_hand,
    current_call,
    origin_of,
    remember_origin,
    work_in_hand,
)
from slackwater.telemetry.events import counters, event, rare
from slackwater.telemetry.meters import BackendMeter, DeploymentMeter, Histogram, Meters, meters

__all__ = [
    "BackendMeter",
    "Call",
    "DeploymentMeter",
    "Histogram",
    "Meters",
    "Work",
    "call_in_hand",
    "counters",
    "current_call",
    "event",
    "meters",
    "origin_of",
    "rare",
    "remember_origin",
    "work_in_hand",
]
