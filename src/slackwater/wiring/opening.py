"""A data directory and a configuration in, a service out."""

import asyncio
import contextlib
import functools
import logging
import socket
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.disk.data_directory import DataDirectory
from slackwater.adapters.shared_memory.peer_board import HostBoard, usual_directory
from slackwater.adapters.sql.clock import DatabaseClock
from slackwater.adapters.sql.identity import damage_in_words
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.system_clock import SystemClock
from slackwater.config import Config, price_list
from slackwater.config.checksums import checksums
from slackwater.config.deployments import assumed_quotas
from slackwater.config.sections import ResourceConfig
from slackwater.core.accounts.cost import price_of
from slackwater.core.accounts.resource import DEFAULT
from slackwater.core.errors import DataDirectoryError
from slackwater.core.files.file import FileLimits
from slackwater.core.files.retention import Keeping
from slackwater.core.input.line_judge import InputLimits
from slackwater.core.input.tokens import QuickCounter, TokenCounter
from slackwater.core.masking import shown_url
from slackwater.core.members import Kind, Member
from slackwater.core.sending.budget import Budget
from slackwater.core.sending.judgement import RetryPolicy
from slackwater.core.sending.spend_guard import SpendGuard
from slackwater.pipeline.ending.janitor import SWEPT_AFTER_SECONDS
from slackwater.pipeline.loops import Hints
from slackwater.pipeline.membership import Membership
from slackwater.pipeline.sending.large_answers import LargeAnswers
from slackwater.pipeline.sending.peer_words import FarBoard
from slackwater.pipeline.sending.sharing import Sharing
from slackwater.pipeline.sending.worker import WorkerSettings
from slackwater.pipeline.watching.readiness import Readiness
from slackwater.ports import BlobStore, Clock, Fetcher, Ledger, MemberLedger, Offload, PeerBoard, Sender, Tracing
from slackwater.telemetry import event
from slackwater.wiring.acquaintance import Acquaintance, refuse_unkept, said_when_slow
from slackwater.wiring.belonging import Marking, mark_behind, open_ledger, refuse_apart, refuse_strangers, take_up
from slackwater.wiring.connections import connections_of
from slackwater.wiring.content_filters import content_filter_of
from slackwater.wiring.credentials import Credentials
from slackwater.wiring.deployments import Shared, assembler_of, deployment_record, dispatchers_of
from slackwater.wiring.engines import Engines, shared_name
from slackwater.wiring.files import COMMIT_SECONDS, PARTS_SWEPT_SECONDS, DiskRoom, refuse_apart_from_files, store_of
from slackwater.wiring.members_at import OWN_VERSION
from slackwater.wiring.service import Service
from slackwater.wiring.service_parts import Doors, Offer, Settings
from slackwater.wiring.user_storages import user_storages_of
from slackwater.wiring.waiting import Waiting

if TYPE_CHECKING:
    from slackwater.adapters.object_store.blobs import ObjectBlobs

RETRY = RetryPolicy()


def keeping_of(config: Config) -> dict[str, Keeping]:
    """For how many days each resource keeps things. Results are kept as long as batches where nothing else is said."""
    usual, keeping = config.retention, {}
    for resource in (ResourceConfig(name=DEFAULT), *config.resources):
        batches = usual.batches_days if resource.keep_batches_days is None else resource.keep_batches_days
        results = usual.results_days if resource.keep_results_days is None else resource.keep_results_days
        inputs = usual.inputs_days if resource.keep_inputs_days is None else resource.keep_inputs_days
        keeping[resource.name] = Keeping(
            batches=batches, results=batches if results is None else results, inputs=inputs
        )
    return keeping


def settings_of(config: Config, kind: Kind = Kind.SERVER, sends_for: frozenset[str] | None = None) -> Settings:
    """Bounds and periods as they are configured."""
    return Settings(
        kind=kind,
        sends_for=sends_for,
        worker=WorkerSettings(
            commit_seconds=max(config.worker.commit_seconds, COMMIT_SECONDS if config.server.files else 0.0),
            grace_seconds=config.worker.grace_seconds,
            in_flight_bytes=config.worker.in_flight_bytes,
            **({"kept_bytes": 0} if config.database or config.server.files else {}),
        ),
        input=InputLimits(
            lines_max=config.limits.requests_per_file,
            embedding_inputs_max=config.limits.embedding_inputs,
            errors_max=config.limits.validation_errors,
        ),
        files=FileLimits(lasting=config.limits.lasting_files, expiring=config.limits.expiring_files),
        input_blob_bytes=config.limits.input_blob_bytes,
        audit_keep_days=config.audit.keep_days,
        lost_keep_days=config.server.lost_keep_days,
        keeping=keeping_of(config),
    )


async def _clock_of(ledger: SqlLedger, database: str) -> tuple[Clock, DatabaseClock | None]:
    """The time of day: the machine's, or that of the ledger's database, which is looked at before anything asks for it."""
    if not database:
        return SystemClock(), None
    clock = DatabaseClock(ledger.sql.database)
    await clock.look()
    return clock, clock


def _opened(config: Config, directory: Path) -> DataDirectory:
    """The data directory, which a file server that is away may keep for as long as it likes."""
    with said_when_slow(directory):
        return DataDirectory.open(directory, shared=bool(config.database))


def _announce(data: DataDirectory, member: str) -> None:
    """Leaves word in a directory that several servers have together, and that does what they need."""
    with said_when_slow(data.path):
        refuse_unkept(data)
        if not data.announcements.announce(member):
            raise DataDirectoryError(f"the name {member} is another server's in {data.path}: start this one again")


async def _stay_together(ledger: SqlLedger, data: DataDirectory, membership: Membership) -> None:
    try:
        await refuse_apart(ledger, data, membership.id)
    except DataDirectoryError:
        data.announcements.forget(membership.id)
        await membership.leave()
        raise


def _fall_behind(data: DataDirectory, told: Callable[[], None]) -> None:
    mark_behind(data)
    told()


async def _sweep_parts(blobs: "DiskBlobs | ObjectBlobs", ledger: MemberLedger) -> None:
    """What was half written when somebody ended. What there is comes first: who else there is may be writing some of it."""
    if not isinstance(blobs, DiskBlobs):
        # What is half written there is nothing that anybody could list.
        await blobs.sweep_parts(untouched_seconds=PARTS_SWEPT_SECONDS)
        return
    found = await blobs.parts()
    if found:
        others = await ledger.others()
        await blobs.sweep_parts(found=found, untouched_seconds=SWEPT_AFTER_SECONDS if others else 0.0)


@contextlib.asynccontextmanager
async def open_service(
    config: Config,
    directory: Path,
    *,
    offload: Offload,
    counter: TokenCounter | Mapping[str, TokenCounter] | None,
    quick_counter: QuickCounter | Mapping[str, QuickCounter] | None = None,
    validating: Offload | None = None,
    validated_at_once: int = 1,
    checking: Offload | None = None,
    accept_any: str | None = None,
    retry: RetryPolicy = RETRY,
    guard: SpendGuard | None = None,
    fetcher: Fetcher | None = None,
    sender: Sender | None = None,
    tracing: Tracing | None = None,
    shares_as: str | None = None,
    kind: Kind = Kind.SERVER,
    sends_for: frozenset[str] | None = None,
    doors: Callable[[Ledger, BlobStore], tuple[Ledger, BlobStore]] = lambda ledger, blobs: (ledger, blobs),
    buried: Callable[[], None] = lambda: None,
    behind: Callable[[], None] = lambda: None,
) -> AsyncIterator[Service]:
    """A service over a data directory, not started yet; everything is closed on leaving. Raises DataDirectoryError.

    `retry` is how stubborn lines are, but for the attempts that each backend has. `guard` bounds what is spent. `doors` may
    put something before the ledger and the blobs: a test that ends the process between two calls does. `buried` is told, on any
    thread, that others who share the ledger took this one for dead: nothing that it does counts any more; and `behind`, that the
    ledger's database has lost what it had confirmed: by then nobody can start with it. On a ledger that has no members,
    `shares_as` is the name under which engines are shared with other services in this process. On one that has some,
    `kind` is what this one does, and `sends_for` are the keys of the deployments that it sends for; None: all.
    """
    incarnation = uuid.uuid4().hex[:12]
    meeting = Path(config.server.peers) if config.server.peers else usual_directory()
    board = HostBoard(meeting, SystemClock(), name=uuid.uuid4().hex)
    if config.server.peers:
        # Whoever names a place relies on it; that of the user is used by those alone who need it.
        board.try_out()
    with (
        Waiting() as waiting,
        contextlib.closing(board),
        _opened(config, directory) as data,
        damage_in_words(data.ledger_path),
    ):
        ledger_there = f"the ledger in {shown_url(config.database)}" if config.database else "the ledger"
        # Both may take a moment, in which somebody may ask whether the process lives.
        waiting.at(ledger_there)
        found = await asyncio.to_thread(refuse_strangers, directory, config.database, files=config.server.files)
        store = store_of(config)
        waiting.at(f"the object store {store.shown}" if store is not None else f"the data directory {directory}")
        await refuse_apart_from_files(store, found, directory, config.database)
        member = Member(id=incarnation, host=socket.gethostname(), version=OWN_VERSION, kind=kind.value, sends_for=())
        if config.database:
            waiting.at(f"the data directory {directory}")
            await asyncio.to_thread(_announce, data, incarnation)
        waiting.at(ledger_there)
        try:
            sql_ledger = await asyncio.to_thread(open_ledger, data, config.database, member=member)
        except BaseException:
            data.announcements.forget(incarnation)
            raise
        try:
            clock, database_clock = await _clock_of(sql_ledger, config.database)
            files, room = (DiskBlobs(data.blobs_path),) * 2 if store is None else (store, DiskRoom(data.path))
            ledger, blobs = doors(sql_ledger, files)
            hints, membership = Hints(), None
            if sql_ledger.presence is not None:
                membership = Membership(
                    ledger, sql_ledger.presence, news=hints.member_gone, alive=data.announcements.alive
                )
                waiting.at("the other members")
                await membership.start(buried=buried, behind=lambda: _fall_behind(data, behind))
                await _stay_together(sql_ledger, data, membership)
            waiting.at(f"the files in {store.shown if store is not None else directory}")
            data.note_ledger(shown_url(config.database))
            data.settle_files()
            if store is not None:
                data.note_files(store.shown)
            await take_up(sql_ledger, data, store)
            await _sweep_parts(files, sql_ledger)
            waiting.over()
            by_key = {deployment_record(deployment).key: deployment for deployment in config.deployments}
            for assumed in assumed_quotas(config.deployments):
                event("quota_assumed", level=logging.WARNING, what=assumed)
            filters = {
                each.name: content_filter_of(each, config.backend_keys, clock) for each in config.content_filters
            }
            # One for all deployments: memory is the process's.
            budget = Budget(config.worker.memory_bytes, answer_bytes_max=config.worker.answer_bytes)
            credentials = Credentials(config.backend_keys)
            shares_as = shares_as if membership is None else incarnation
            # Who sends to no engine has no part of any, and no place among those who do.
            sharing = None if shares_as is None or not kind.sends else Sharing(sql_ledger, clock, member=shares_as)
            place: PeerBoard | None = board if kind.sends else None
            if sharing is not None:
                place = FarBoard(board, sharing.words, clock, shared_as=shared_name)
            shared = Shared(
                clock=clock,
                engines=Engines(clock, config.engines, config.deployments, board=place, sharing=sharing),
                budget=budget,
                credentials=credentials,
                filters=filters,
                retry=retry,
                large=LargeAnswers(offload),
                answer_bytes=config.worker.answer_bytes,
                tracing=tracing,
                blobs=blobs,
            )
            service = Service(
                Doors(
                    ledger=ledger,
                    blobs=blobs,
                    clock=clock,
                    offload=offload,
                    validating=validating,
                    validated_at_once=validated_at_once,
                    checking=checking,
                    fetcher=fetcher,
                    sender=sender,
                    storages=user_storages_of(config),
                    tracing=tracing,
                    budget=budget,
                    credentials=credentials,
                    hints=hints,
                    membership=membership,
                    member=member,
                    sections=checksums(config, (await sql_ledger.mark()).identity),
                    clock_ahead=(lambda: None) if database_clock is None else database_clock.machine_ahead,
                    acquaintance=None
                    if membership is None
                    else Acquaintance(data.announcements, incarnation, membership.others).step,
                    sharing=sharing,
                    clock_confirmed=data.clock_confirmed,
                    away=lambda: sql_ledger.away,
                    together=sql_ledger.together,
                    marking=Marking(
                        sql_ledger,
                        data,
                        database_clock,
                        store=store,
                        mine=lambda: membership is None or membership.watching,
                    ).step,
                ),
                Offer(
                    deployments=[deployment_record(deployment) for deployment in config.deployments],
                    backends=lambda deployment: dispatchers_of(by_key[deployment.key], shared),
                    counter=counter,
                    quick_counter=quick_counter,
                    accept_any=accept_any,
                    guard=guard,
                    weights={resource.name: resource.weight for resource in config.resources},
                    price_of=functools.partial(price_of, prices=price_list(config.billing, config.prices)),
                    assemble=None if accept_any else assembler_of(config, shared),
                    connections=None if accept_any else lambda now: connections_of(config, ledger, clock, now),
                ),
                settings_of(config, kind, sends_for),
                incarnation=incarnation,
                readiness=Readiness(
                    stores={"ledger": sql_ledger, "files": files},
                    room=room,
                    free_bytes_min=config.server.free_bytes_min,
                    damaged=lambda: sql_ledger.damaged,
                ),
            )
            if config.metrics.enabled and not accept_any:
                # Only a service that shows metrics pays for the library.
                from slackwater.wiring.monitoring import Monitor

                service.monitor = Monitor(
                    sql_ledger,
                    service.fleet,
                    clock,
                    data.path,
                    budget=budget,
                    watch=service.watch,
                    engines=service.engine_watch,
                    cluster=service.cluster_watch,
                )
            yield service
            for each in filters.values():
                await each.close()
        finally:
            await sql_ledger.close()
            if config.database:
                data.announcements.forget(incarnation)
