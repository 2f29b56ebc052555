"""Connections, put together from a configuration: where they may lead, who seals their keys, and who looks at them."""

from collections.abc import Awaitable, Callable

from slackwater.config import NO_KEY, Config
from slackwater.core.outside.engine_addresses import Reach
from slackwater.pipeline.accounts.connections import Connections
from slackwater.ports import Clock, EngineLooker, Ledger
from slackwater.wiring.sealing import sealer_of


def _looker(port: int) -> EngineLooker:
    # Only somebody who looks pays for the doctor's libraries.
    from slackwater.wiring.engine_looks import EngineLooks

    return EngineLooks(port=port)


def connections_of(
    config: Config, ledger: Ledger, clock: Clock, now: Callable[[], Awaitable[None]] | None
) -> Connections:
    """The connections of a service."""
    allowed = config.control_plane
    return Connections(
        ledger,
        clock,
        reach=Reach(
            hosts=tuple(allowed.backend_hosts),
            anywhere=allowed.connect_anywhere,
            key_envs=tuple(allowed.backend_key_envs),
        ),
        keys={name: config.backend_keys.get(name, "") for name in allowed.backend_key_envs},
        sealer=sealer_of(config),
        no_sealer=NO_KEY,
        looker=lambda: _looker(config.server.port),
        now=now,
    )
