"""The stages of a service, with their paces: those of every process that works with a ledger, and those of one that has the API.

A worker, which nobody calls, takes what has been validated to its end: it makes room, ranks, sends, ends windows and finalizes.
What comes in and goes out over the API, and what is kept for how long, is done where the API is.
"""

from typing import TYPE_CHECKING

from slackwater.core.files.retention import Kept
from slackwater.pipeline.following import LOOK_SECONDS as FOLLOW_SECONDS
from slackwater.pipeline.loops import REST_SECONDS, Hint, Loop
from slackwater.pipeline.wall_clock import LOOK_SECONDS as LOOK_AT_CLOCK_SECONDS
from slackwater.pipeline.watching.batch_histories import STEP_SECONDS as HISTORIES_SECONDS
from slackwater.pipeline.watching.ledger_watch import LOOK_SECONDS as LOOK_AT_LEDGER_SECONDS
from slackwater.pipeline.watching.progress import STEP_SECONDS
from slackwater.pipeline.watching.readiness import LOOK_SECONDS, Readiness
from slackwater.pipeline.watching.senders import STEP_SECONDS as LOOK_AT_SENDERS_SECONDS
from slackwater.pipeline.watching.standings import STEP_SECONDS as SAYS_SECONDS
from slackwater.wiring.acquaintance import MEETING_SECONDS
from slackwater.wiring.belonging import MARKED_SECONDS
from slackwater.wiring.credentials import LOOK_SECONDS as LOOK_AT_KEYS_SECONDS

if TYPE_CHECKING:
    from slackwater.wiring.service import Service

# Which stage tells other servers how it is here.
SAYING = "standings"
# Imports at once. One that is slow to its last allowed second takes one of these places, and not all.
IMPORTS_AT_ONCE = 4
# Batches whose input is brought at once, and those whose results are handed over, where there are storages of users. A store that
# is slow or away takes one of these places, and not all.
AT_ONCE_ELSEWHERE = 4
# Webhooks on their way at once, each to another endpoint.
DELIVERIES_AT_ONCE = 8


def stages_of(service: "Service") -> list[Loop]:
    """All that this process does again and again, but for the workers of its deployments."""
    arriving = [*_arriving(service), *_housekeeping(service)] if service.settings.kind.answers else []
    return [*arriving, *_ending(service), *_following(service)]


def _arriving(service: "Service") -> list[Loop]:
    """What is sent to the API, and what is told to those who have."""
    clock, hints, validator = service.clock, service.hints, service.validator
    validating = []
    if service.offer.quick_counter is not None:
        # Nobody's large file, nor any number of them, is ever before a small one.
        validating = [("validate-small", validator.step_small)]
    validating += [(f"validate-{number}", validator.step) for number in range(service.doors.validated_at_once)]
    stages = [
        Loop(name, step, clock=clock, hint=hints.validate, idle_seconds=1.0, resting=validator.at_rest)
        for name, step in validating
    ]
    stages += [
        Loop(
            f"bring-{number}",
            service.bringing.step,
            clock=clock,
            hint=_if_any(service, hints.validate),
            idle_seconds=idle,
        )
        for number, idle in _elsewhere(service)
    ]
    stages.append(Loop("uploads", service.upload_janitor.step, clock=clock, hint=hints.uploads, idle_seconds=5.0))
    stages += [
        Loop(
            f"import-{number}",
            service.importer.step,
            clock=clock,
            hint=hints.imports,
            # One of them looks for what is to be tried again.
            idle_seconds=REST_SECONDS if number else 1.0,
            then=hints.imports.notify,
        )
        for number in range(service.importing)
    ]
    if service.doors.sender is not None:
        stages += [
            Loop(
                f"webhook-{number}",
                service.deliverer.step,
                clock=clock,
                hint=hints.webhooks,
                # One of them looks for what is due again; who has found something wakes the next one.
                idle_seconds=5.0 if number else 1.0,
            )
            for number in range(DELIVERIES_AT_ONCE)
        ]
    return stages


def _elsewhere(service: "Service") -> list[tuple[int, float]]:
    """The places of those who work for batches in storages of users, and after what time each looks. One where there are none."""
    if service.doors.storages is None:
        # What was made before the configuration lost them is still to end.
        return [(0, REST_SECONDS)]
    return [(number, REST_SECONDS if number else 1.0) for number in range(AT_ONCE_ELSEWHERE)]


def _if_any(service: "Service", hint: Hint) -> Hint:
    """The hint, where there are storages; else nobody is woken for what hardly ever comes."""
    return Hint() if service.doors.storages is None else hint


def _housekeeping(service: "Service") -> list[Loop]:
    """What is kept for a while and then goes."""
    clock = service.clock
    # Also where webhooks are turned off: batches still end, and what nobody is told of must not pile up.
    stages = [Loop("webhooks", service.deliverer.tidy, clock=clock, hint=Hint(), idle_seconds=60.0, every=True)]
    if service.audit_janitor is not None:
        # A hint of its own: nobody has to wake it.
        stages.append(Loop("audit", service.audit_janitor.step, clock=clock, hint=Hint(), idle_seconds=60.0))
    if any(keeping.days(kept) for keeping in service.settings.keeping.values() for kept in Kept):
        keep = service.retention_janitor.step
        stages.append(Loop("retention", keep, clock=clock, hint=Hint(), idle_seconds=60.0))
    return stages


def _ending(service: "Service") -> list[Loop]:
    """What takes a batch that has been validated to its end."""
    clock, hints = service.clock, service.hints
    return [
        Loop(
            "enqueue",
            service.enqueuer.step,
            clock=clock,
            hint=hints.enqueue,
            idle_seconds=REST_SECONDS,
            then=hints.schedule.notify,
        ),
        Loop("schedule", service.scheduler.step, clock=clock, hint=hints.schedule, idle_seconds=REST_SECONDS),
        Loop(
            "finalize",
            service.finalizer.step,
            clock=clock,
            hint=hints.finalize,
            idle_seconds=1.0,
            then=hints.batch_ended,
            resting=service.finalizer.at_rest,
        ),
        *(
            Loop(
                f"hand-over-{number}",
                service.finalizer_elsewhere.step,
                clock=clock,
                hint=_if_any(service, hints.finalize),
                idle_seconds=idle,
                then=hints.batch_ended,
            )
            for number, idle in _elsewhere(service)
        ),
        Loop(
            "janitor",
            service.janitor.step,
            clock=clock,
            hint=Hint(),
            idle_seconds=5.0,
            every=True,
            then=hints.house_kept,
        ),
    ]


def _following(service: "Service") -> list[Loop]:
    """What has to be known of deployments, keys, pauses, the clock and the others."""
    clock, hints, doors = service.clock, service.hints, service.doors
    removes = service.control_plane.step
    stages = [Loop("deployments", removes, clock=clock, hint=hints.deployments, idle_seconds=REST_SECONDS)]
    if doors.credentials is not None:
        look = doors.credentials.step
        stages.append(Loop("keys", look, clock=clock, hint=hints.keys, idle_seconds=LOOK_AT_KEYS_SECONDS))
    stages.append(Loop("clock", service.wall.step, clock=clock, hint=Hint(), idle_seconds=LOOK_AT_CLOCK_SECONDS))
    if doors.marking is not None:
        stages.append(Loop("marking", doors.marking, clock=clock, hint=Hint(), idle_seconds=MARKED_SECONDS))
    if service.membership is not None:
        bury = service.membership.step
        stages.append(Loop("members", bury, clock=clock, hint=service.membership.hint, idle_seconds=REST_SECONDS))
    if doors.acquaintance is not None:
        meet = doors.acquaintance
        stages.append(Loop("acquaintance", meet, clock=clock, hint=Hint(), idle_seconds=MEETING_SECONDS))
    # Where changes are followed, they are heard of by themselves.
    pause_seconds = 1.0 if service.following is None else REST_SECONDS
    stages.append(Loop("pauses", service.pauses.step, clock=clock, hint=Hint(), idle_seconds=pause_seconds))
    if service.following is not None:
        away = service.ledger_watch
        stages.append(Loop("ledger", away.step, clock=clock, hint=Hint(), idle_seconds=LOOK_AT_LEDGER_SECONDS))
        follow = service.following
        stages.append(Loop("follow", follow.step, clock=clock, hint=follow.hint, idle_seconds=FOLLOW_SECONDS))
    return stages


def watching(service: "Service", readiness: Readiness) -> list[Loop]:
    """What is looked at for people, and what they are told."""
    clock, kind = service.clock, service.settings.kind
    stages = [
        Loop("readiness", readiness.step, clock=clock, hint=Hint(), idle_seconds=LOOK_SECONDS),
        Loop("progress", service.progress.step, clock=clock, hint=Hint(), idle_seconds=STEP_SECONDS),
    ]
    if kind.sends:
        stages.append(Loop("history", service.engine_history.step, clock=clock, hint=Hint(), idle_seconds=STEP_SECONDS))
        histories = service.batch_histories
        stages.append(Loop("batch-histories", histories.step, clock=clock, hint=Hint(), idle_seconds=HISTORIES_SECONDS))
    if service.senders is not None:
        stages.append(
            Loop("senders", service.senders.step, clock=clock, hint=Hint(), idle_seconds=LOOK_AT_SENDERS_SECONDS)
        )
    if service.standings is not None:
        stages.append(Loop(SAYING, service.standings.step, clock=clock, hint=Hint(), idle_seconds=SAYS_SECONDS))
    if kind.answers:
        stages.append(Loop("engines", service.engine_janitor.step, clock=clock, hint=Hint(), idle_seconds=60.0))
    return stages
