"""The engines of a service: one for each upstream, shared by every deployment whose backends name it."""

import hashlib
import urllib.parse
from collections.abc import Iterable

from slackwater.adapters.shared_memory.peer_board import host_mark
from slackwater.config import BackendConfig, DeploymentConfig, EngineConfig
from slackwater.config.deployments import is_cloud
from slackwater.config.engines import limits_of
from slackwater.core.sending.door import Door
from slackwater.core.sending.engine_names import engine_of, one_name
from slackwater.core.sending.pace import EnginePace, pace_of
from slackwater.core.sending.rate_limits import NOTHING_TOLD, Quota, Told
from slackwater.core.sending.step_target import Point
from slackwater.core.sending.streaming import NEVER
from slackwater.pipeline.sending.engine import Engine
from slackwater.pipeline.sending.sharing import Sharing
from slackwater.ports import Clock, PeerBoard


def told_of(backend: BackendConfig) -> Told | None:
    """What an operator has said of the rate limits of a backend; None where that is nothing."""
    told = Told(
        requests_per_minute=backend.requests_per_minute,
        tokens_per_minute=backend.tokens_per_minute,
        tokens_per_day=backend.tokens_per_day,
        shared=backend.shared_quota,
    )
    return None if told == NOTHING_TOLD else told


def configured_pace(said: EngineConfig | None, backend: BackendConfig) -> EnginePace | None:
    """What is configured; None: `gentle` where a page is found. Vendors have none for us, so theirs is not looked for."""
    if said is not None and said.pace is not None:
        return pace_of(said.pace)
    return EnginePace(Point.FIXED) if is_cloud(backend.url) else None


def shared_name(engine: str) -> str:
    """The name of an engine among all members of a cluster: `localhost` is another one on each host."""
    name = one_name(engine)
    return f"{name} of {host_mark()}" if "://localhost" in name else name


class Engines:
    """Makes each engine once."""

    def __init__(
        self,
        clock: Clock,
        configured: Iterable[EngineConfig] = (),
        deployments: Iterable[DeploymentConfig] = (),
        *,
        board: PeerBoard | None = None,
        sharing: Sharing | None = None,
    ) -> None:
        """`configured` are the sections about engines, `deployments` those of the same configuration: what its backends say of
        an engine holds also for who does not send for them. On `board` other servers of ours are found; `sharing` divides what
        engines take with the other members of a cluster.
        """
        self._clock = clock
        self._board = board
        self._sharing = sharing
        # One server has one engine, by whichever name of this host it is called.
        self._configured = {one_name(engine_of(each.url)): each for each in configured}
        self._limits = limits_of(deployments, self._configured.values())
        self._engines: dict[str, Engine] = {}

    def engine(self, backend: BackendConfig, *, place: str) -> Engine:
        """The engine of a backend; a built-in one is an engine of its own, named after its place."""
        name = place if backend.url is None else engine_of(backend.url)
        key = one_name(name)
        engine = self._engines.get(key)
        if engine is None:
            said = self._configured.get(key)
            engine = self._engines[key] = Engine(
                name,
                self._clock,
                slots=self._limits.get(key),
                pace=configured_pace(said, backend),
                slices=said is None or said.slices != NEVER,
                seat=None if self._board is None or backend.url is None else self._board.seat(name),
                # A built-in one is this process's own.
                sharing=None if backend.url is None else self._sharing,
                shared_as="" if self._sharing is None else shared_name(name),
            )
        return engine

    def door(self, engine: Engine, backend: BackendConfig, *, key: str | None) -> Door:
        """The door of a backend's credential and model name. The credential is known by its digest alone."""
        headers = sorted(backend.headers.items())
        path = urllib.parse.urlsplit(backend.url or "").path
        digest = hashlib.blake2b(repr((key, headers, path)).encode(), digest_size=16).hexdigest()
        door = engine.door(digest, backend.model or "", slots=backend.slots)
        told = told_of(backend)
        if told is not None and (door.quota is None or door.quota.told != told):
            door.quota = Quota(told)
        return door

    def all(self) -> list[Engine]:
        """Those that are used now, by name."""
        return sorted((each for each in self._engines.values() if each.uses), key=lambda each: each.name)
