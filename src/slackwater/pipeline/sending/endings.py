"""The results of lines that end without another call: what their last call brought, or why there is none."""

from slackwater.core.sending.judgement import Verdict
from slackwater.core.sending.lines import tail_of
from slackwater.core.sending.request import Outcome, Result
from slackwater.core.sending.unanswered import refusal_body
from slackwater.pipeline.sending.lease import Item, Lease
from slackwater.telemetry import meters

INTERNAL_ERROR = (
    "internal_error",
    "This request could not be processed because of a fault in the batch service.",
)
INPUT_UNREADABLE = (
    "input_unreadable",
    "This line of the input file could not be read any more, although it was valid when the batch was accepted: the bytes on "
    "the disk have changed. Upload the file again, and run this line in a new batch.",
)
ENGINE_STOPPED = (
    "engine_stopped",
    "The engine stopped each of the {deaths} times that this request was sent to it, the last time with nothing else going on. "
    "It is not sent again.",
)


def ended(item: Item, verdict: Verdict) -> Result:
    """The result of a line that ends by a verdict."""
    if verdict is Verdict.UNREADABLE:
        meters.lines_lost["input"] += 1
        return coded(item.lease, item.line, item.custom_id, INPUT_UNREADABLE)
    if verdict is Verdict.CULPRIT:
        code, message = ENGINE_STOPPED
        deaths = item.trial.deaths if item.trial is not None else 1
        return coded(item.lease, item.line, item.custom_id, (code, message.format(deaths=deaths)))
    assert verdict is Verdict.FAIL, f"{verdict} ends nothing"
    return last_words(item)


def last_words(item: Item) -> Result:
    """What the last call of a line brought."""
    setback = item.trial.last if item.trial is not None else None
    assert setback is not None, "a line that ends so has been sent"
    writer = item.lease.writer
    if (reply := setback.reply) is not None:
        body = refusal_body(reply)
        tail = tail_of(reply.came, reply.status)
        took = setback.ended - setback.begun
        text = writer.answered(item.line, item.custom_id, status=reply.status, body=body, tail=tail, seconds=took)
        return Result(item.line, Outcome.FAILED, text, region=setback.region)
    text = writer.unanswered(item.line, item.custom_id, code=setback.code, message=setback.message)
    return Result(item.line, Outcome.FAILED, text)


def coded(lease: Lease, line: int, custom_id: str, error: tuple[str, str]) -> Result:
    """An error line of ours."""
    code, message = error
    return Result(line, Outcome.FAILED, lease.writer.unanswered(line, custom_id, code=code, message=message))
