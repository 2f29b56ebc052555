"""Judges texts for one policy: blocklists here, the classifier elsewhere, and what to do while the classifier is down.

Before and after: the filtered dispatcher, which asks about prompts before it sends, and about completions before they are
journaled. No text is kept, logged or repeated in an error.
"""

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from slackwater.core.errors import ClassifierFailed
from slackwater.core.filtering.breaker import Breaker
from slackwater.core.filtering.content_filter import Findings, Policy, Severities, findings
from slackwater.core.filtering.filtered_bodies import Answer, Texts
from slackwater.core.sending.door import DoorState
from slackwater.core.sending.judgement import RetryPolicy
from slackwater.pipeline.filtering.gate import Gate
from slackwater.pipeline.sending.dispatcher import Standing
from slackwater.ports import Classifier, Clock
from slackwater.telemetry import counters, event

if TYPE_CHECKING:
    # Not every filter has blocklists, and not every machine their libraries.
    from slackwater.core.filtering.blocklists import Blocklists


class ContentFilter:
    """One policy at work. Shared by the dispatchers of all deployments that name it."""

    def __init__(
        self,
        policy: Policy,
        *,
        blocklists: "Blocklists | None",
        classifier: Classifier | None,
        retry: RetryPolicy,
        breaker: Breaker,
        clock: Clock,
        chance: Callable[[], float],
    ) -> None:
        """`retry` is for a classifier that answers, but not with a judgement; `breaker` says when it may be asked."""
        self.policy = policy
        self._blocklists = blocklists
        self._classifier = classifier
        self._retry = retry
        self._gate = Gate(breaker, clock)
        self._clock = clock
        self._chance = chance
        # Since when its classifier is left alone, and why.
        self._shut: tuple[float, str] | None = None

    @property
    def holds(self) -> Standing | None:
        """Why texts wait to be judged; None while they do not."""
        if self._shut is None or self.policy.fails_open:
            return None
        since, reason = self._shut
        return Standing(DoorState.DOWN, reason, since, self._gate.breaker.until)

    async def prompts(self, prompts: Sequence[Texts]) -> list[Findings]:
        """What is found in each prompt; nothing where the policy leaves them alone. Raises ClassifierFailed."""
        if not self.policy.prompts:
            return []
        found = [await self._found(prompt) for prompt in prompts]
        counters["prompts_filtered"] += any(each.filtered for each in found)
        return found

    async def completions(self, prompts: Sequence[Texts], answer: Answer) -> list[Findings]:
        """What is found in each completion; nothing where the policy leaves them alone. Raises ClassifierFailed."""
        if not self.policy.completions:
            return []
        prompt = [text for texts in prompts for text in texts]
        found = [await self._found(prompt, texts) for texts in answer.completions]
        counters["completions_filtered"] += sum(each.filtered for each in found)
        return found

    async def close(self) -> None:
        """Lets go of the classifier's connections."""
        if self._classifier is not None:
            await self._classifier.close()

    async def _found(self, prompt: Sequence[str], completion: Sequence[str] | None = None) -> Findings:
        texts = prompt if completion is None else completion
        lists = self._blocklists is not None
        tripped = self._blocklists.tripped(texts) if self._blocklists is not None and texts else []
        found = findings(self.policy, lists=lists, tripped=tripped, severities=None)
        # What a blocklist blocks needs no second opinion, and an empty text has nothing to judge.
        if self._classifier is None or found.filtered or not any(texts):
            return found
        severities = await self._severities(
            self._classifier, "\n".join(prompt), None if completion is None else "\n".join(completion)
        )
        unchecked = severities is None
        return findings(self.policy, lists=lists, tripped=tripped, severities=severities, unchecked=unchecked)

    async def _severities(self, classifier: Classifier, prompt: str, completion: str | None) -> Severities | None:
        """None where the classifier has none and the policy fails open. Else waits for one that is down."""
        attempts = 0
        while True:
            if self.policy.fails_open and not self._gate.admits:
                counters["content_unchecked"] += 1
                return None
            if not self._gate.open:
                await self._gate.enter()
            try:
                severities = await classifier.classify(prompt, completion)
            except ClassifierFailed as error:
                self._failed(error)
                if self.policy.fails_open:
                    counters["content_unchecked"] += 1
                    return None
                attempts += not error.busy
                if attempts >= self._retry.attempts_max:
                    raise
                # A breaker that opened says when to go on; else this text is the trouble, and waits by itself.
                if self._gate.open:
                    await self._clock.sleep(self._retry.delay(max(attempts, 1), chance=self._chance()))
            except BaseException:
                # If this was the probe, somebody else may probe in its place.
                if not self._gate.open:
                    self._gate.breaker.abandon()
                    self._gate.changed()
                raise
            else:
                self._answered()
                return severities

    def _answered(self) -> None:
        was_open = self._gate.open
        self._gate.breaker.succeeded()
        if not was_open:
            self._shut = None
            event("content_filter_open", content_filter=self.policy.name)
            self._gate.changed()

    def _failed(self, error: ClassifierFailed) -> None:
        was_open, now = self._gate.open, self._clock.monotonic()
        self._gate.breaker.failed(now, at_once=error.busy)
        if error.retry_after is not None:
            self._gate.breaker.pause(now + error.retry_after)
        if not self._gate.open:
            if was_open:
                self._shut = now, str(error)
                event("content_filter_paused", level=logging.WARNING, content_filter=self.policy.name, reason=error)
            self._gate.changed()
