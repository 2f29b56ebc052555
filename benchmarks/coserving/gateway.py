"""The gateway of the benchmark: carries a policy's wishes to an engine in virtual time, and what comes back to the policy."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmarks.coserving.kernel import Kernel
from benchmarks.coserving.policy import NETWORK_SECONDS, Policy, Prompt, Usage
from benchmarks.coserving.virtual_engine import VirtualEngine
from benchmarks.coserving.workload import BatchRequest

from slackwater.adapters.modelled_engine.metrics_page import samples
from slackwater.core.engine_model import EngineRequest, Segment, State, StepEnd


@dataclass(slots=True)
class Sent:
    """A request, or a slice of one, that is out."""

    prompt: Prompt
    request: EngineRequest
    streamed: bool = False
    slice: bool = False
    received: int = 0
    closed: bool = False


@dataclass(slots=True)
class Tally:
    """What has become of batch work so far."""

    requests: int = 0
    tokens: int = 0
    """Of finished requests: prompt and answer, once, whatever it took."""
    sent: int = 0
    slices: int = 0
    aborts: int = 0
    wasted_tokens: int = 0
    """Generated and thrown away."""


class VirtualGateway:
    """Implements policy.Gateway. `priority` goes with each of its requests, as vLLM understands it; `name` tells them from
    those of another gateway at the same engine.
    """

    def __init__(
        self,
        kernel: Kernel,
        engine: VirtualEngine,
        policy: Policy,
        backlog: Callable[[], BatchRequest],
        *,
        priority: int = 1,
        name: str = "batch",
        begins: float = 0.0,
    ) -> None:
        self.tally = Tally()
        self._kernel, self._engine, self._policy, self._backlog = kernel, engine, policy, backlog
        self._priority, self._name = priority, name
        self._work: dict[str, BatchRequest] = {}
        self._back: deque[Prompt] = deque()
        self._out: dict[str, Sent] = {}
        self._by_request: dict[str, Sent] = {}
        self._streams: dict[str, Sent] = {}
        self._attempts = 0
        engine.listeners.append(self._step_ended)
        kernel.at(begins, policy.start, self)

    # What the policy can do.

    def now(self) -> float:
        return self._kernel.now

    def take(self) -> Prompt:
        if self._back:
            return self._back.popleft()
        work = self._backlog()
        self._work[work.id] = work
        return Prompt(work.id, work.prompt_tokens, work.max_tokens)

    def give_back(self, prompt: Prompt) -> None:
        self._back.appendleft(prompt)

    def send(self, prompt: Prompt, *, stream: bool = False) -> None:
        work = self._work[prompt.id]
        request = self._request(prompt, work.segments, prompt.prompt_tokens, work.output_tokens)
        self._go(Sent(prompt, request, streamed=stream))
        self.tally.sent += 1

    def send_slice(self, prompt: Prompt, tokens: int) -> None:
        assert 0 < tokens <= prompt.prompt_tokens, "a slice is a part of its prompt"
        whole = tokens - tokens % self._engine.model.profile.block_tokens
        segments = first_of(self._work[prompt.id].segments, whole)
        if tokens > whole:
            segments += ((f"{prompt.id} rest {self._attempts}", tokens - whole),)
        self._go(Sent(prompt, self._request(prompt, segments, tokens, 1), slice=True))
        self.tally.slices += 1

    def abort(self, prompt: Prompt, *, keep: bool = False) -> None:
        sent = self._out.pop(prompt.id)
        sent.closed = True
        self._streams.pop(sent.request.id, None)
        self.tally.aborts += 1
        self._kernel.at(self._kernel.now + NETWORK_SECONDS, self._closed, sent, keep)
        work = self._work[prompt.id]
        if keep and 0 < sent.received < work.output_tokens:
            # It goes on as a completion of the prompt and what has come of the answer.
            got = sent.received
            *others, (segment, tokens) = work.segments
            segments = (*others, (segment, tokens + got))
            self._work[prompt.id] = replace(
                work,
                prompt_tokens=work.prompt_tokens + got,
                output_tokens=work.output_tokens - got,
                segments=segments,
            )
            prompt = Prompt(prompt.id, prompt.prompt_tokens + got, prompt.max_tokens - got)
        self._back.appendleft(prompt)

    def scrape(self) -> None:
        self._kernel.at(self._kernel.now + NETWORK_SECONDS, self._scraped)

    def wake_at(self, moment: float) -> None:
        self._kernel.at(moment, lambda: self._policy.on_tick(self._kernel.now))

    # What becomes of it.

    def _request(self, prompt: Prompt, segments: tuple[Segment, ...], tokens: int, output: int) -> EngineRequest:
        self._attempts += 1
        return EngineRequest(
            id=f"{self._name} {self._attempts}",
            prompt_tokens=tokens,
            output_tokens=output,
            segments=segments,
            priority=self._priority,
        )

    def _go(self, sent: Sent) -> None:
        assert sent.prompt.id not in self._out, "a request, or its slice, is out once"
        self._out[sent.prompt.id] = sent
        self._kernel.at(self._kernel.now + NETWORK_SECONDS, self._arrive, sent)

    def _arrive(self, sent: Sent) -> None:
        if not sent.closed:
            self._by_request[sent.request.id] = sent
            if sent.streamed:
                self._streams[sent.request.id] = sent
            self._engine.submit(sent.request)

    def _closed(self, sent: Sent, keep: bool) -> None:
        generated = self._engine.model.generated(sent.request)
        self._engine.model.abort(sent.request)
        self._by_request.pop(sent.request.id, None)
        self.tally.wasted_tokens += generated - (sent.received if keep else 0)

    def _scraped(self) -> None:
        found = samples(self._engine.model)
        self._kernel.at(self._kernel.now + NETWORK_SECONDS, lambda: self._policy.on_metrics(self._kernel.now, found))

    def _step_ended(self, end: StepEnd) -> None:
        soon = self._kernel.now + NETWORK_SECONDS
        first = [sent for request in end.first if (sent := self._streams.get(request.id))]
        if self._streams:
            further = [
                sent
                for sent in self._streams.values()
                if sent.request.state in (State.DECODING, State.FINISHED) and sent not in first
            ]
            if first or further:
                self._kernel.at(soon, self._tell, first, further)
        for request in end.finished:
            if sent := self._by_request.pop(request.id, None):
                self._streams.pop(request.id, None)
                self._kernel.at(soon, self._done, sent)

    def _tell(self, first: list[Sent], further: list[Sent]) -> None:
        for sent in first:
            if not sent.closed:
                sent.received = 1
                self._policy.on_first(sent.prompt, self._kernel.now)
        for sent in further:
            if not sent.closed:
                sent.received += 1
                self._policy.on_chunk(sent.prompt, self._kernel.now, 1)

    def _done(self, sent: Sent) -> None:
        if sent.closed:
            return
        del self._out[sent.prompt.id]
        request = sent.request
        usage = Usage(request.prompt_tokens, request.cached_tokens, request.output_tokens)
        if sent.slice:
            self._policy.on_slice(sent.prompt, self._kernel.now, usage)
            return
        work = self._work.pop(sent.prompt.id)
        self.tally.requests += 1
        self.tally.tokens += work.prompt_tokens + work.output_tokens
        self._policy.on_done(sent.prompt, self._kernel.now, usage)


def first_of(segments: tuple[Segment, ...], tokens: int) -> tuple[Segment, ...]:
    """The segments of the first `tokens` of a prompt; the last of them may be a part of one."""
    found: list[Segment] = []
    for segment, length in segments:
        if tokens <= 0:
            break
        found.append((segment, min(length, tokens)))
        tokens -= length
    return tuple(found)
