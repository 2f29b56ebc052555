"""Which lines may fail, and with what: those that are bad by their content, and nobody for another's trouble."""

from typing import TYPE_CHECKING, Any

from slackwater.core.batch import Batch, WindowElapsed
from slackwater.core.sending.lines import BATCH_CANCELLED, BATCH_EXPIRED
from slackwater.pipeline.sending.endings import ENGINE_STOPPED, INPUT_UNREADABLE
from tests.simulation.content import ANSWERED, CODES, STATUSES, Content
from tests.simulation.plan import Mood

if TYPE_CHECKING:
    from tests.simulation.world import World

# Where something else may come between, a bad line may also end with what came last of that.
BETWEEN = {
    Mood.MISHAPS,
    Mood.OUTAGES,
    Mood.PAUSES,
    Mood.REFUSALS,
    Mood.REFUSED,
    Mood.KILLERS,
    Mood.DEATHS,
    Mood.FREEZES,
}
# An engine may be away, or a door may let nobody in, for as long as a line has attempts.
AWAY = {Mood.OUTAGES, Mood.PAUSES, Mood.REFUSALS, Mood.KILLERS}
NEVER_RAN = {BATCH_CANCELLED[0], BATCH_EXPIRED[0]}


def wrong_verdict(world: "World", batch: Batch, line: dict[str, Any]) -> str:
    """Why a line of an error file should not be there, or not so; empty where all is well."""
    code = (line["error"] or {}).get("code")
    status = (line["response"] or {}).get("status_code")
    if code in NEVER_RAN:
        return ""
    if code == INPUT_UNREADABLE[0]:
        return "" if _damaged(world, batch, line["custom_id"]) else "is said to be unreadable"
    expires = batch.policies.window_elapsed is WindowElapsed.EXPIRE
    if expires and status is not None and (batch.finalizing_at or 0) >= batch.expires_at:
        # When its window ended, that was its last answer.
        return ""
    content = world.lines.get(line["custom_id"].replace("-", "/"))
    if content is None:
        return "is no line of ours"
    if code == ENGINE_STOPPED[0] and world.plan.services > 1:
        # Who goes alone is alone in its own service only.
        return ""
    if content is Content.PICKY and AWAY & world.plan.moods and len(world.useful_engines(batch.id)) > 1:
        # The engine that would answer it may have been away all the while.
        return ""
    if content in ANSWERED and world.sending.was_never_readable(line["custom_id"].replace("-", "/")):
        # An engine that has never given a readable answer is not paid more than twice for a line.
        return "" if code in CODES[Content.UNREADABLE] else f"is {content} and ended with {code or status}"
    if content in ANSWERED:
        return f"is {content} and failed"
    if code == ENGINE_STOPPED[0] and content not in ANSWERED and Mood.OUTAGES in world.plan.moods:
        # A bad line, alone for ten seconds, in which the engine went by itself: it ends as it would have, with another code.
        return ""
    if code == ENGINE_STOPPED[0] and content is not Content.KILLER:
        return f"is {content} and was taken for one that kills"
    if BETWEEN & world.plan.moods:
        return ""
    if status is not None:
        return "" if status in STATUSES.get(content, ()) else f"is {content} and ended with {status}"
    return "" if code in CODES.get(content, ()) else f"is {content} and ended with {code}"


def _damaged(world: "World", batch: Batch, custom_id: str) -> bool:
    if batch.id not in world.damaged:
        return False
    lines = world.damaged[batch.id]
    return lines is None or not custom_id or custom_id.replace("-", "/") in lines
