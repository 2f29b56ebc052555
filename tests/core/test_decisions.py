"""Quota, scheduling and the table of statuses."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.batch import (
    BEGIN,
    BEGIN_ELSEWHERE,
    MOMENT,
    MOVES,
    TERMINAL,
    Batch,
    Event,
    Move,
    Policies,
    Stage,
    Status,
    move,
)
from slackwater.core.quota.enqueued import admit, refusal, shorten, was_let_in
from slackwater.core.sending.deployment import Deployment, WhenFull
from slackwater.core.sending.scheduling import rank_shards, shard_bytes


def batch(tokens: int) -> Batch:
    """A waiting batch of so many tokens."""
    return Batch(
        id=f"batch-{tokens}",
        input_file_id="f",
        input_blob="b",
        endpoint="/chat/completions",
        completion_window="24h",
        status=Status.VALIDATING,
        created_at=0,
        expires_at=1,
        policies=Policies(),
        enqueued_tokens=tokens,
    )


@given(st.lists(st.integers(0, 100)), st.integers(0, 300), st.integers(0, 300))
def test_admission_is_first_come_first_served(tokens: list[int], limit: int, held: int) -> None:
    """A prefix of those who wait is let in, never over the limit, and never one fewer than fit."""
    waiting = [batch(count) for count in tokens]
    admitted = admit(waiting, limit=limit, held=held)
    assert admitted == waiting[: len(admitted)]
    total = held + sum(each.enqueued_tokens for each in admitted)
    assert total <= limit or not admitted
    if len(admitted) < len(waiting):
        assert total + waiting[len(admitted)].enqueued_tokens > limit


def test_without_a_limit_everybody_starts() -> None:
    """None is no limit."""
    assert len(admit([batch(10**12)] * 3, limit=None, held=10**12)) == 3


def deployment(limit: int | None, when_full: WhenFull = WhenFull.FAIL) -> Deployment:
    """A deployment with this limit."""
    return Deployment(name="d", model="m", backends=(), enqueued_token_limit=limit, when_full=when_full)


def test_a_batch_that_finds_no_room_is_refused() -> None:
    """The words are those of the caller's family (spec 5.1, 5.2); what fits to the last token is let in."""
    assert refusal(10, deployment=deployment(10), held=0, family="azure") is None
    assert refusal(10**9, deployment=deployment(None), held=10**9, family="azure") is None
    error = refusal(20, deployment=deployment(30_000), held=29_990, family="azure")
    assert error is not None
    assert (error.code, error.line) == ("token_limit_exceeded", None)
    assert error.message == (
        "The number of enqueued tokens has surpassed the configured limit of 30K for the deployment 'd'. Please either "
        "increase the limit or try again once the current jobs have finished."
    )
    error = refusal(20, deployment=deployment(2_000_000), held=1_999_990, family="openai")
    assert error is not None
    assert error.message.startswith("Enqueued token limit reached for d. Limit: 2,000,000 enqueued tokens.")


def test_a_batch_that_was_let_in_is_not_refused() -> None:
    """Who was told at create that there is room waits for it, unless it never fits. Where nothing was promised, it is refused."""
    full = deployment(30_000)
    assert was_let_in(batch(10), full)
    assert refusal(20, deployment=full, held=29_990, family="azure", let_in=True) is None
    error = refusal(30_001, deployment=full, held=0, family="azure", let_in=True)
    assert error is not None
    assert "This file alone has about" in error.message
    assert not was_let_in(batch(0), full)
    assert not was_let_in(batch(10), msgspec.structs.replace(full, dynamic_quota=True))
    assert not was_let_in(msgspec.structs.replace(batch(10), policies=Policies(validation="openai")), full)


def test_a_batch_that_may_wait_is_not_refused() -> None:
    """Where batches wait for their turn, only one that could never start is refused, and told why."""
    queue = deployment(30_000, WhenFull.QUEUE)
    assert refusal(20, deployment=queue, held=29_990, family="azure") is None
    error = refusal(1_500_000, deployment=queue, held=0, family="azure")
    assert error is not None
    assert "limit of 30K for the deployment 'd'" in error.message
    assert "about 1.5M tokens, 1.5M more than that" in error.message
    assert [shorten(n) for n in (7, 30_000, 1_500_000, 5_000_000_000)] == ["7", "30K", "1.5M", "5B"]


def test_a_shard_is_the_work_of_a_while() -> None:
    """Half a minute of what the backends were seen to do, within bounds; nothing known: the largest."""
    assert shard_bytes(0.0) == shard_bytes(1e9) == 1 << 20
    assert shard_bytes(2_000.0) == 240_000
    assert shard_bytes(1.0) == 1 << 16


def test_ranks_are_the_order_of_the_file() -> None:
    """The shards of a batch are claimed one after the other."""
    assert rank_shards(3) == [0.0, 1.0, 2.0]


def test_the_table_of_moves_is_closed() -> None:
    """Every status has a row, every row leads to a row with a moment, and what has ended stays."""
    assert {status for _, status in MOVES} == set(Status)
    assert {stage for stage, _ in MOVES} == set(Stage)
    reached = {after for events in MOVES.values() for after in events.values()}
    assert reached <= set(MOVES)
    assert reached | {BEGIN, BEGIN_ELSEWHERE} == set(MOVES), "a standing that nothing leads to"
    assert {status for _, status in reached} <= {*MOMENT, BEGIN[1]}
    assert {Status.FAILED, Status.COMPLETED, Status.EXPIRED, Status.CANCELLED} == TERMINAL
    assert {event for events in MOVES.values() for event in events} == set(Event), "an event that nobody needs"
    for stage, status in MOVES:
        assert (stage is Stage.ENDED) == (status in TERMINAL)
        if status in TERMINAL:
            assert not any(move(stage, status, event) for event in Event)
        cancelled = move(stage, status, Event.CANCEL_REQUESTED)
        assert (cancelled is not None) == (status in {"validating", "in_progress", "finalizing"})


def test_a_move_names_a_moment_where_the_status_changes() -> None:
    """Validation leaves the status as it is, and so no moment is set."""
    assert move(Stage.NEW, Status.VALIDATING, Event.VALIDATED) == Move(Stage.WAITING, Status.VALIDATING, None)
    assert move(Stage.WAITING, Status.VALIDATING, Event.ENQUEUED) == Move(
        Stage.RUNNING, Status.IN_PROGRESS, "in_progress_at"
    )
