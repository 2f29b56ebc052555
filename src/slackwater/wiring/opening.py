"""A data directory and a configuration in, a service out."""

import contextlib
import functools
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from slackwater.adapters.data_directory import DataDirectory
from slackwater.adapters.disk_blobs import DiskBlobs
from slackwater.adapters.sql_ledger import SqlLedger
from slackwater.adapters.system_clock import SystemClock
from slackwater.config import Config, price_list
from slackwater.core.cost import price_of
from slackwater.core.file import FileLimits
from slackwater.core.tokens import TokenCounter
from slackwater.pipeline.worker import WorkerSettings
from slackwater.ports import Fetcher, Offload, Sender
from slackwater.wiring.content_filters import content_filter_of
from slackwater.wiring.deployments import assembler_of, deployment_record, dispatchers_of
from slackwater.wiring.service import Service


@contextlib.asynccontextmanager
async def open_service(
    config: Config,
    directory: Path,
    *,
    offload: Offload,
    counter: TokenCounter | Mapping[str, TokenCounter] | None,
    accept_any: str | None = None,
    fetcher: Fetcher | None = None,
    sender: Sender | None = None,
) -> AsyncIterator[Service]:
    """A service over a data directory, not started yet; everything is closed on leaving. Raises DataDirectoryError."""
    clock = SystemClock()
    with DataDirectory.open(directory) as data:
        ledger = SqlLedger.open(data.ledger_path)
        try:
            blobs = DiskBlobs(data.blobs_path)
            await blobs.sweep_parts()
            by_key = {deployment_record(deployment).key: deployment for deployment in config.deployments}
            filters = {
                each.name: content_filter_of(each, config.backend_keys, clock) for each in config.content_filters
            }
            yield Service(
                ledger=ledger,
                blobs=blobs,
                clock=clock,
                offload=offload,
                deployments=[deployment_record(deployment) for deployment in config.deployments],
                backends=lambda deployment: dispatchers_of(by_key[deployment.key], config.backend_keys, clock, filters),
                counter=counter,
                settings=WorkerSettings(
                    commit_seconds=config.worker.commit_seconds,
                    grace_seconds=config.worker.grace_seconds,
                    in_flight_bytes=config.worker.in_flight_bytes,
                ),
                accept_any=accept_any,
                lines_max=config.limits.requests_per_file,
                embedding_inputs_max=config.limits.embedding_inputs,
                errors_max=config.limits.validation_errors,
                fetcher=fetcher,
                sender=sender,
                assemble=None if accept_any else assembler_of(config, clock, filters),
                price_of=functools.partial(price_of, prices=price_list(config.billing, config.prices)),
                file_limits=FileLimits(lasting=config.limits.lasting_files, expiring=config.limits.expiring_files),
            )
            for each in filters.values():
                await each.close()
        finally:
            await ledger.close()
