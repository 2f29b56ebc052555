"""A dispatcher for a deployment with a content filter: nothing is sent, and nothing is kept, that the policy blocks.

A blocked prompt costs no call to the backend. An answer whose judgement has to wait for the classifier is held, not asked
for again. Deployments without a policy have the plain dispatcher, and no step of this.
"""

import asyncio
import hashlib
from collections.abc import Callable

from slackwater.core.errors import BackendError, ClassifierFailed
from slackwater.core.filtering import content_filter
from slackwater.core.filtering.content_filter import Findings
from slackwater.core.filtering.filtered_bodies import EMBEDDINGS, FILTERED, Texts, answer_of, prompts_of
from slackwater.core.sending import lines
from slackwater.core.sending.breaker import Breaker
from slackwater.core.sending.judgement import RetryPolicy
from slackwater.core.sending.request import Outcome, Reply, Request, Result
from slackwater.pipeline.filtering.content_filter import ContentFilter
from slackwater.pipeline.sending.dispatcher import Dispatcher, Retry
from slackwater.pipeline.sending.large_answers import LargeAnswers
from slackwater.ports import Backend, Clock
from slackwater.telemetry import BackendMeter

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
        concurrency: int,
        model: str | None,
        retry: RetryPolicy,
        breaker: Breaker,
        clock: Clock,
        chance: Callable[[], float],
        region: str = "",
        meter: BackendMeter | None = None,
        traced: bool = False,
        large: LargeAnswers | None = None,
    ) -> None:
        """As for the plain dispatcher, and the filter."""
        super().__init__(
            name,
            backend,
            concurrency=concurrency,
            model=model,
            retry=retry,
            breaker=breaker,
            clock=clock,
            chance=chance,
            region=region,
            meter=meter,
            traced=traced,
            large=large,
        )
        self._filter = content_filter
        self._passed: dict[bytes, list[Findings]] = {}

    async def attempt(self, path: str, request: Request, *, attempts: int, writer: lines.LineWriter) -> Result | Retry:
        """One call, or none where the prompt is blocked. Cancelling aborts it."""
        if path not in FILTERED:
            return await super().attempt(path, request, attempts=attempts, writer=writer)
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
            outcome = await self._sent(path, request, prompts, found, attempts, writer)
        except asyncio.CancelledError:
            self._abandon_probe()
            raise
        except ClassifierFailed as error:
            self._abandon_probe()
            message = f"The content filter could not judge this request: {error}. Try it again later."
            text = writer.unanswered(request.line, request.custom_id, code=error.code, message=message)
            return Result(request.line, Outcome.FAILED, text)
        if isinstance(outcome, Retry):
            if len(self._passed) >= PASSED_MAX:
                del self._passed[next(iter(self._passed))]
            self._passed[hashlib.blake2b(request.body, digest_size=16).digest()] = found
        return outcome

    async def _sent(
        self,
        path: str,
        request: Request,
        prompts: list[Texts],
        found: list[Findings],
        attempts: int,
        writer: lines.LineWriter,
    ) -> Result | Retry:
        body = request.body if self._model is None else lines.with_model(request.body, self._model)
        try:
            reply = await self._call(path, body)
        except BackendError as error:
            return self._no_answer(request, error, attempts, writer)
        if not 200 <= reply.status < 300:
            return self._refusal(request, reply, attempts, writer)
        if path != EMBEDDINGS and lines.read_answer(reply.body) is not None:
            # The backend has answered: nobody is to wait for it while the classifier is asked.
            self._speaks_for_backend()
            answer = answer_of(path, reply.body)
            if answer is not None:
                completions = await self._filter.completions(prompts, answer)
                reply = Reply(reply.status, answer.annotated(found, completions), reply.retry_after, reply.held)
            elif self._filter.policy.completions:
                unseen = BackendError(f"the backend answered {reply.status} without a completion that can be filtered")
                return self._no_answer(request, unseen, attempts, writer)
        return self._success(request, reply, attempts, writer)

    def _withheld(self, request: Request, body: bytes, writer: lines.LineWriter) -> Result:
        """The line of a request that is not sent: 400, as the endpoint itself would have answered (spec 8.3)."""
        self._abandon_probe()
        return Result(
            request.line, Outcome.FAILED, writer.answered(request.line, request.custom_id, status=400, body=body)
        )
