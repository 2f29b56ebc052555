"""Which stages run, by what is configured."""

import asyncio
from pathlib import Path

from slackwater.adapters.work.process_offload import InlineOffload
from slackwater.config import Config
from slackwater.wiring import open_service


def test_housekeeping_of_webhooks_needs_no_webhooks(tmp_path: Path) -> None:
    """Where webhooks are turned off, batches still end and write down who is to hear of it: that is still cleared away."""

    async def stages() -> set[str]:
        async with open_service(Config(), tmp_path, offload=InlineOffload(), counter=None, sender=None) as service:
            return {loop.name for loop in service.loops()}

    names = asyncio.run(stages())
    assert "webhooks" in names
    assert "webhook-0" not in names
