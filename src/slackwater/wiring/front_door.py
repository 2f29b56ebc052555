"""The front door of a configuration."""

from slackwater.api.arriving.front_door import FrontDoor
from slackwater.config import FrontDoorConfig
from slackwater.core.arriving.crowd import share_of
from slackwater.core.arriving.heads import HeadLimits
from slackwater.core.arriving.patience import Patience

LOOK_SECONDS = 1.0


def front_door_of(config: FrontDoorConfig, descriptors: int) -> FrontDoor:
    """The front door of a process that may have so many descriptors."""
    times = (config.head_seconds, config.body_seconds, config.reader_seconds, config.idle_seconds)
    return FrontDoor(
        limits=HeadLimits(head_bytes=config.head_bytes, headers=config.headers),
        patience=Patience(
            head=config.head_seconds,
            body=config.body_seconds,
            reader=config.reader_seconds,
            idle=config.idle_seconds,
        ),
        connections_max=share_of(descriptors, wanted=config.connections),
        # Short times are kept, too.
        look_seconds=min(LOOK_SECONDS, min(times) / 4),
    )
