"""A modelled inference engine behind HTTP: a profile and options in, the parts of a server out."""

from dataclasses import dataclass

from starlette.applications import Starlette

from slackwater.adapters.modelled_engine.app import engine_app
from slackwater.adapters.modelled_engine.connections import Connections
from slackwater.adapters.modelled_engine.online_traffic import OnlineTraffic, online_arrivals
from slackwater.adapters.modelled_engine.shipped import profile_named
from slackwater.adapters.modelled_engine.timed_engine import Deaths, TimedEngine, at_speed
from slackwater.core.engine_model import EngineModel, Queueing


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What somebody can choose. Times are in seconds of the engine; the wall's are shorter by the time scale."""

    profile: str
    time_scale: float = 1.0
    online: str | None = None
    queueing: Queueing = Queueing.FCFS
    prefix_cache: bool = True
    max_waiting: int | None = None
    die_every: float | None = None
    down_for: float = 30.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class ModelledEngine:
    """`engine.run` works, `app` answers, `connections.protocol` is what the server makes connections with."""

    engine: TimedEngine
    app: Starlette
    connections: Connections


def modelled_engine_of(options: EngineOptions) -> ModelledEngine:
    """Puts an engine together. Raises ConfigError where the profile or the traffic is not what they should be."""
    speed = options.time_scale
    profile = at_speed(profile_named(options.profile), speed)
    arrivals = online_arrivals(options.online, seed=options.seed) if options.online else None
    connections = Connections()
    engine = TimedEngine(
        EngineModel(profile, queueing=options.queueing, prefix_cache=options.prefix_cache),
        traffic=None if arrivals is None else lambda begin: OnlineTraffic(arrivals, speed=speed, begin=begin),
        deaths=None if options.die_every is None else Deaths(options.die_every / speed, options.down_for / speed),
        cut=connections.cut,
    )
    connections.refused = lambda: engine.down
    app = engine_app(engine, seed=options.seed, max_waiting=options.max_waiting)
    return ModelledEngine(engine, app, connections)
