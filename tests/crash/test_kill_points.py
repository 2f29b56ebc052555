"""kill -9 between two steps of quota, billing and webhooks, one chosen moment per test. `make test-crash` takes every moment.

Each test tells a whole story (story.py) and checks all of it at its end (afterwards.py).
"""

import inspect
from pathlib import Path

import pytest

from slackwater.ports import Ledger
from tests.chosen import one_in
from tests.crash.kill_points import plans, recorded, run
from tests.crash.moments import AFTER, BEFORE, BETWEEN, LEDGER_READS, POLLS, Moment, moment_of

# What holds tokens, charges, or owes somebody an event, in the order of the story; and the bytes that these name.
CHOSEN = [
    moment_of(text)
    for text in (
        "ledger.add_webhook_endpoint after 1",
        "ledger.add_file after 1",
        "ledger.add_batch before 1",
        "ledger.add_batch after 1",
        "ledger.add_audit after 4",
        "ledger.accept_batch before 1",
        "ledger.accept_batch after 1",
        "ledger.enqueue after 1",
        "ledger.rank_shards after 1",
        "ledger.claim_shards after 1",
        "ledger.reject_batch before 1",
        "ledger.reject_batch after 1",
        "logs.open_log after 1",
        "logs.append after 1",
        "ledger.commit_segments before 1",
        "ledger.commit_segments after 1",
        "ledger.begin_finalizing after 1",
        "outputs.publish after 1",
        "ledger.publish_files before 1",
        "ledger.publish_files after 1",
        "ledger.request_cancel after 1",
        "ledger.add_upload_part after 1",
        "ledger.complete_upload after 1",
        "ledger.accept_batch after 5",
        "ledger.release_shard after 1",
        "ledger.delete_file after 2",
        "sender.post before 1",
        "sender.post after 1",
        "ledger.record_delivery after 1",
        "ledger.change_webhook_endpoint after 1",
    )
]
# In the recovery from the first end, a second one.
CHOSEN_TWICE = [
    ["ledger.commit_segments after 1", "ledger.commit_segments after 1"],
    ["outputs.publish after 1", "ledger.publish_files after 1"],
    ["ledger.publish_files after 1", "ledger.record_delivery before 1"],
    ["sender.post after 1", "sender.post after 1"],
]
# The minutes of the engines, of which a story that is told fast has not one. What dies with them is a minute of a picture; with
# the histories of batches, some seconds of one.
SLOWLY = frozenset({"add_batch_histories", "add_engine_minutes"})
# What the story has no reason to call: nothing of it holds tokens, charges, or is announced.
ELSEWHERE = frozenset(
    {
        # Files from a URL, and uploads that are given up.
        "add_import",
        # Input in a storage of its user's: tests/system/test_user_storage.py.
        "finish_bringing",
        "cancel_upload",
        "expire_uploads",
        "finish_import",
        "forget_uploads",
        "postpone_import",
        # Shards end with their last results; this is for one whose owner, an older version, did not come to say so.
        "finish_shard",
        # An endpoint too many, after an answer that was lost.
        "delete_webhook_endpoint",
        # Members of a shared ledger, who kill each other's servers in tests/cluster.
        "bury",
        "send_for",
        # Keys, sessions, deployments and connections.
        "add_session",
        "put_connection",
        "remove_connection",
        "reseal_connection",
        "delete_keys",
        "delete_session",
        "put_deployment",
        "put_keys",
        "remove_deployment",
        # Operators' pauses and paces: tests/api/test_pauses.py kills a server between the word and its end.
        "forget_pace",
        "set_pace",
        "pause",
        "resume",
        # What only time brings about, and what only a restart has to do.
        "elapse_windows",
        "end_overdue_deliveries",
        "forget_deliveries",
        "release_leases",
        "trim_audit",
        "forget_batches",
        "forget_files",
        "give_back_pages",
        "set_rule",
    }
)


@pytest.mark.crash
@pytest.mark.parametrize("moment", one_in(2, CHOSEN), ids=lambda moment: str(moment).replace(" ", "-"))
def test_killed_between_two_steps(tmp_path: Path, moment: Moment) -> None:
    """Nothing is held for ever, nothing is counted twice, and each end is announced under one id."""
    assert run(tmp_path, [moment]) == [moment]


@pytest.mark.crash
@pytest.mark.parametrize("texts", one_in(2, CHOSEN_TWICE), ids=lambda texts: "-then-".join(texts).replace(" ", "-"))
def test_killed_in_the_recovery(tmp_path: Path, texts: list[str]) -> None:
    """The same where the recovery from one end meets another."""
    kills = [moment_of(text) for text in texts]
    assert run(tmp_path, kills) == kills


@pytest.mark.crash
def test_the_story_has_every_step(tmp_path: Path) -> None:
    """No method of the ledger that writes is out of sight: the story calls it, or this file says why it does not."""
    moments = recorded(tmp_path)
    assert set(CHOSEN) <= set(moments), "a chosen moment does not come any more"
    called = {moment.name.removeprefix("ledger.") for moment in moments if moment.name.startswith("ledger.")}
    methods = {name for name, _ in inspect.getmembers(Ledger, inspect.isfunction) if not name.startswith("_")}
    assert methods >= LEDGER_READS | POLLS | ELSEWHERE, "a method that is listed here has another name now"
    assert not called & LEDGER_READS
    assert not called & ELSEWHERE, "the story has it, so it need not be excused"
    assert methods - LEDGER_READS - ELSEWHERE - SLOWLY == called - SLOWLY, (
        "tell it in story.py, or say in ELSEWHERE why not"
    )
    between = [str(moment) for moment in moments if moment.phase == BETWEEN]
    assert not between, f"one method of the ledger is one transaction; a crash inside of these is not tested: {between}"
    assert {"sender.post", "logs.append", "outputs.publish", "files.publish"} <= {each.name for each in moments}
    assert all(Moment(each.name, BEFORE, each.number) in moments for each in moments if _is_certain(each))


def _is_certain(moment: Moment) -> bool:
    """Whether as many calls have begun as have ended: of what is polled, others begin in vain."""
    return moment.phase == AFTER and moment.name.rpartition(".")[2] not in POLLS


@pytest.mark.crash
def test_every_moment_is_planned_for() -> None:
    """Each moment is killed once, each first one twice, and each first one together with another end."""
    moments = [Moment("ledger.enqueue", phase, number) for number in (1, 2, 3) for phase in (BEFORE, AFTER)]
    planned = plans(moments)
    assert planned[: len(moments)] == [[moment] for moment in moments]
    assert [Moment("ledger.enqueue", AFTER)] * 2 in planned
    assert [Moment("ledger.enqueue", AFTER), Moment("ledger.publish_files", AFTER)] in planned
    assert [each for (each,) in plans(moments, every=False)[:4]] == moments[:2] + moments[4:]
