"""A dispatcher for a deployment with a content filter: nothing is sent, and nothing is kept, that the policy blocks.

A blocked prompt costs no call to the backend. An answer whose judgement has to wait for the classifier is held, not asked
for again. Deployments without a policy have the plain dispatcher, and no step of this.
"""

import hashlib
from typing import Any

import msgspec

from slackwater.core.errors import BackendError, ClassifierFailed
from slackwater.core.filtering import content_filter
from slackwater.core.filtering.content_filter import Findings
from slackwater.core.filtering.filtered_bodies import (
    FILTERED,
    WITHOUT_COMPLETIONS,
    Texts,
    answer_of,
    holds_completions,
    prompts_of,
)
from slackwater.core.sending import lines
from slackwater.core.sending.answer_kinds import Answer, ErrorInside
from slackwater.core.sending.answers import read_answer
from slackwater.core.sending.evidence import SUCCESS
from slackwater.core.sending.judgement import Setback
from slackwater.core.sending.request import Outcome, Reply, Request, Result
from slackwater.pipeline.filtering.content_filter import ContentFilter
from slackwater.pipeline.sending.dispatcher import Dispatcher, Standing
from slackwater.pipeline.sending.large_answers import LARGE_BYTES
from slackwater.pipeline.sending.lease import Item
from slackwater.ports import Backend
from slackwater.telemetry import counters

# Prompts that passed and wait for another attempt, so that a busy backend does not keep the classifier busy, too.
PASSED_MAX = 10_000


class FilteredDispatcher(Dispatcher):
    """Sends requests to one backend, as far as the policy lets them and their answers pass."""

    def __init__(
        self,
        name: str,
        backend: Backend,
        *,
        content_filter: ContentFilter,
        **named: Any,
    ) -> None:
        """As for the plain dispatcher, and the filter."""
        super().__init__(name, backend, **named)
        self._filter = content_filter
        self._passed: dict[bytes, list[Findings]] = {}

    def holds(self, path: str) -> Standing | None:
        """The classifier of its filter is down, and nothing goes on without its judgement."""
        return self._filter.holds if path in FILTERED else None

    async def attempt(self, item: Item, request: Request, begun: float) -> Result | Setback:
        """One call, or none where the prompt is blocked. Cancelling aborts it."""
        path, writer = request.path, item.lease.writer
        if path not in FILTERED:
            return await super().attempt(item, request, begun)
        prompts = prompts_of(path, request.body)
        if prompts is None and self._filter.policy.prompts:
            return self._withheld(request, content_filter.unreadable_body(), writer)
        prompts = prompts or []
        key = hashlib.blake2b(request.body, digest_size=16).digest() if self._passed else b""
        found = self._passed.pop(key, None)
        try:
            if found is None:
                found = await self._filter.prompts(prompts)
                if blocked := next((each for each in found if each.filtered), None):
                    return self._withheld(request, content_filter.blocked_body(blocked), writer)
            outcome = await self._sent(item, request, prompts, found)
        except ClassifierFailed as error:
            message = f"The content filter could not judge this request: {error}. Try it again later."
            text = writer.unanswered(request.line, request.custom_id, code=error.code, message=message)
            return Result(request.line, Outcome.FAILED, text)
        if isinstance(outcome, Setback):
            if len(self._passed) >= PASSED_MAX:
                del self._passed[next(iter(self._passed))]
            self._passed[hashlib.blake2b(request.body, digest_size=16).digest()] = found
        return outcome

    async def _sent(
        self, item: Item, request: Request, prompts: list[Texts], found: list[Findings]
    ) -> Result | Setback:
        path = self._path = request.path
        body = self._body_of(request)
        begun = self._clock.monotonic()
        counters["requests_sent"] += 1
        self.meter.sent += 1
        try:
            reply = await self._call(item, request, body)
        except BaseException as error:
            self._ends(begun, error, item)
            if isinstance(error, BackendError):
                return self._no_answer(item, error, begun)
            raise
        self._ended = self._clock.monotonic()
        self.meter.seconds.observe(self._ended - begun)
        if reply.limits or item.sent is not None:
            self._hear_limits(item, reply, begun)
        success = 200 <= reply.status < 300
        if self._large is not None and len(reply.body) > LARGE_BYTES and (path in WITHOUT_COMPLETIONS or not success):
            return await self._read_large(self._large, item, request, reply, begun)
        if not success:
            return self._refusal(item, request, reply, begun)
        if path in WITHOUT_COMPLETIONS:
            return self._success(item, request, reply, begun)
        read = read_answer(reply.body, path=path)
        if isinstance(read, ErrorInside):
            return self._refusal(item, request, self._error_inside(read, reply), begun)
        if isinstance(read, Answer):
            # The backend has answered: nobody is to wait for it while the classifier is asked.
            self._heard(item, SUCCESS, begun)
            reply = Reply(reply.status, read.body, reply.retry_after, held=reply.held)
            answer = answer_of(path, read.body)
            if answer is not None:
                completions = await self._filter.completions(prompts, answer)
                body = answer.annotated(found, completions)
                reply = Reply(reply.status, body, reply.retry_after, held=reply.held)
            elif self._filter.policy.completions:
                why = "an object without a completion that can be filtered"
                return self._unusable(item, reply, why, begun)
        outcome = self._success(item, request, reply, begun)
        if isinstance(read, Answer) and read.mended and isinstance(outcome, Result):
            # What has been mended and annotated looks as if it had come like that.
            return msgspec.structs.replace(outcome, mended=True)
        return outcome

    def _error_inside(self, inside: ErrorInside, reply: Reply) -> Reply:
        """The refusal that an answer with an error inside is. Half a completion in it has not been looked at: it stays here."""
        body = inside.body
        if self._filter.policy.completions and holds_completions(body):
            message = f"The backend answered {reply.status} with an error inside, and with a completion that broke off."
            body = lines.error_body(message.encode(), inside.status)
        wait = inside.retry_after if reply.retry_after is None else reply.retry_after
        return Reply(inside.status, body, wait, came=reply.status)

    def _withheld(self, request: Request, body: bytes, writer: lines.LineWriter) -> Result:
        """The line of a request that is not sent: 400, as the endpoint itself would have answered (spec 8.3)."""
        return Result(
            request.line, Outcome.FAILED, writer.answered(request.line, request.custom_id, status=400, body=body)
        )
