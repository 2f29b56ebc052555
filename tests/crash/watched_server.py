"""`slackwater serve` with a watch before its ledger, its blobs and its sender of webhooks; it may end itself at one moment.

Ledger, blobs, sender, API and stages are the real ones. Heavy work runs in this process, because a run starts many servers.
"""

import argparse
import asyncio
import logging
import socket
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from slackwater.adapters.work.descriptors import raise_descriptor_limit
from slackwater.adapters.work.process_offload import InlineOffload
from slackwater.api.app import build_app
from slackwater.api.arriving.connection import Connection
from slackwater.cli.entrance import entrance_to
from slackwater.config import Config, load
from slackwater.pipeline.accounts.keys import Keys
from slackwater.wiring import open_service, sender_of
from slackwater.wiring.front_door import front_door_of
from tests.crash.moments import Moments, moment_of, watched_blobs, watched_ledger, watched_sender


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", type=Path, required=True, help="where the moments are written down")
    parser.add_argument("--kill", type=moment_of, help="the moment at which this process ends")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(message)s")
    moments = Moments(arguments.record, arguments.kill)
    listener = socket.create_server(("127.0.0.1", arguments.port))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(load(arguments.config), arguments.data, listener, moments))


async def serve(config: Config, data: Path, listener: socket.socket, moments: Moments) -> None:
    """Serves until the process is ended."""
    offload = InlineOffload()
    async with open_service(
        config,
        data,
        offload=offload,
        quick_counter={},
        counter=None,
        sender=watched_sender(sender_of(config), moments),
        doors=lambda ledger, blobs: (watched_ledger(ledger, moments), watched_blobs(blobs, moments)),
    ) as service:
        keys = Keys(service.ledger, service.clock)
        await keys.load()
        app = build_app(entrance_to(config, service, offload, keys, None))
        front = front_door_of(config.front_door, raise_descriptor_limit())
        protocol: Any = front.protocol(Connection)
        server = uvicorn.Server(
            uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", http=protocol, ws="none")
        )
        await service.start()
        print(f"watched server on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        await server.serve(sockets=[listener])
        await service.stop()


if __name__ == "__main__":
    main()
