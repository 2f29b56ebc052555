"""A continuous-batching engine after the scheduler of vLLM V1, a step at a time.

A step decodes one token for every sequence that is being decoded, and fills what is left of `max_num_batched_tokens` with
pieces of prompts (chunked prefill): first of those that have begun, then of those that wait. A request that finds no memory
pushes out the last one, which later computes its prompt again, and what it had generated with it.

Decoding costs O(1) a step: every sequence gets one token in each step, so a count, the sum of their contexts and a heap of the
steps at which they end are all that is kept.
"""

import heapq

from slackwater.core.engine_model.counters import Counters
from slackwater.core.engine_model.memory import KvMemory
from slackwater.core.engine_model.profile import Profile
from slackwater.core.engine_model.requests import EngineRequest, State
from slackwater.core.engine_model.step import Chunks, Queueing, Step, StepEnd, pairs_of
from slackwater.core.engine_model.waiting import WaitingQueue

# Ends of requests that were aborted long before them are looked for once there may be so many.
VOID_ENDS_MAX = 1000


class EngineModel:
    """One engine. Its driver calls `begin_step`, lets that time pass, calls `end_step`, and so on until `begin_step` has
    nothing to do; after that, when a request was submitted. Requests may be submitted and aborted at any time."""

    def __init__(
        self,
        profile: Profile,
        *,
        queueing: Queueing = Queueing.FCFS,
        prefix_cache: bool = True,
    ) -> None:
        self.profile = profile
        self.queueing = queueing
        self.memory = KvMemory(profile.kv_tokens, prefix_cache=prefix_cache)
        self.waiting = WaitingQueue(by_priority=queueing is not Queueing.FCFS)
        self.running: dict[str, EngineRequest] = {}
        """By id, in order of admission."""
        self.counters = Counters()
        self._prefilling: list[EngineRequest] = []
        self._ends: list[tuple[int, int, int, EngineRequest]] = []
        self._decoding = 0
        self._context = 0
        self._order = 0
        self._step: Step | None = None

    # What can be asked.

    @property
    def stepping(self) -> bool:
        """Whether a step has begun and not ended."""
        return self._step is not None

    @property
    def kv_usage(self) -> float:
        """Share of its memory that active requests hold, as vLLM's `kv_cache_usage_perc`: 0 to 1."""
        return self.memory.held / self.memory.capacity

    def generated(self, request: EngineRequest) -> int:
        """Tokens that the request has by now."""
        if request.state is State.DECODING:
            return self.counters.steps - request.zero_step
        return request.generated

    # What its clients do.

    def submit(self, request: EngineRequest, now: float) -> None:
        """A request arrives. Its id must differ from those of all that run, and its prompt must fit into memory."""
        assert request.state is State.NEW, "a request is submitted once"
        self._order += 1
        request.order = self._order
        request.arrived_at = now
        request.target = request.prompt_tokens
        request.state = State.WAITING
        self.waiting.add(request)

    def abort(self, request: EngineRequest) -> None:
        """The client has gone: slot and memory are free at once, and what was computed stays as a prefix."""
        if request.state is State.WAITING:
            request.state = State.ABORTED
            self.waiting.dropped()
        elif request.state in (State.PREFILLING, State.DECODING):
            self._stop(request)
            request.state = State.ABORTED
        else:
            return
        self.counters.aborted += 1

    def die(self) -> list[EngineRequest]:
        """The process ends: all requests are lost, and it comes back empty, with its counters at zero. Returns the lost ones."""
        lost = [*self.running.values(), *self.waiting]
        for request in lost:
            request.generated = self.generated(request)
            request.state = State.LOST
            request.version += 1
        self.running.clear()
        self.waiting.clear()
        self.memory.clear()
        self._prefilling.clear()
        self._ends.clear()
        self._decoding = self._context = 0
        self._step = None
        self.counters = Counters()
        return lost

    # The step.

    def begin_step(self, now: float) -> float | None:
        """Plans a step. Returns the seconds that it takes, or None where there is nothing to do."""
        chunks = self._plan(now)
        if self._decoding + len(chunks) == 0:
            return None
        seconds = self._seconds(chunks)
        self._begin(seconds, chunks)
        return seconds

    def _plan(self, now: float) -> Chunks:
        """Which pieces of which prompts go into the next step, beside a token for everything that is being decoded."""
        assert self._step is None, "a step begins after the one before it has ended"
        preemptions = self.counters.preemptions
        self._make_room(self._decoding)
        chunks: Chunks = []
        budget = self._continue_prompts(self.profile.max_num_batched_tokens - self._decoding, chunks)
        if self.counters.preemptions == preemptions:
            self._admit(budget, chunks, now)
        if self.counters.preemptions != preemptions:
            # Whoever was pushed out after its piece had been planned is not in this step.
            chunks = [(request, tokens) for request, tokens in chunks if request.state is State.PREFILLING]
        self.memory.trim()
        return chunks

    def _seconds(self, chunks: Chunks) -> float:
        return self.profile.step_time.seconds(
            tokens=self._decoding + sum(tokens for _, tokens in chunks),
            context=self._context,
            pairs=pairs_of(chunks),
            sequences=self._decoding + len(chunks),
        )

    def _begin(self, seconds: float, chunks: Chunks) -> None:
        self.memory.held += self._decoding
        self._step = Step(seconds, chunks, sum(tokens for _, tokens in chunks), self._decoding)

    def _continue_prompts(self, budget: int, chunks: Chunks) -> int:
        """Further pieces of prompts that have begun. Returns what is left of the budget."""
        for request in list(self._prefilling):
            if budget <= 0:
                break
            if request.state is not State.PREFILLING:
                continue
            tokens = min(request.target - request.computed, budget)
            if not self._make_room(tokens, asking=request):
                break
            if request.state is State.PREFILLING:
                self.memory.hold(request, tokens)
                chunks.append((request, tokens))
                budget -= tokens
        return budget

    def _admit(self, budget: int, chunks: Chunks, now: float) -> None:
        """First pieces of prompts that wait, in their order, until slots, memory or the budget are used up."""
        while budget > 0 and (request := self.waiting.next()) is not None:
            if len(self.running) >= self.profile.max_num_seqs and not self._displace_for(request, 1):
                break
            self.memory.attach(request)
            tokens = min(request.target - request.cached_tokens, budget)
            if self.memory.free < tokens and not self._displace_for(request, tokens):
                self.memory.release(request)
                break
            self.waiting.take()
            request.state = State.PREFILLING
            request.computed = request.cached_tokens
            if request.scheduled_at is None:
                request.scheduled_at = now
                self.counters.prompt_tokens += request.target
                self.counters.cached_tokens += request.cached_tokens
            self.running[request.id] = request
            self._prefilling.append(request)
            self.memory.hold(request, tokens)
            chunks.append((request, tokens))
            budget -= tokens

    def end_step(self, now: float) -> StepEnd | None:
        """The step that has begun is over. None where the engine has died meanwhile."""
        step, self._step = self._step, None
        if step is None:
            return None
        counters = self.counters
        counters.steps += 1
        counters.step_tokens.observe(step.decoded + step.prefilled)
        counters.busy_seconds += step.seconds
        # Those that were aborted meanwhile have got no token.
        counters.generated_tokens += self._decoding
        if self._decoding:
            counters.inter_token.observe(step.seconds, self._decoding)
        self._context += self._decoding
        end = StepEnd(step.seconds, step.decoded + step.prefilled)
        for request, tokens in step.chunks:
            if request.state is not State.PREFILLING:
                continue  # Aborted meanwhile.
            request.computed += tokens
            counters.prefilled_tokens += tokens
            if len(request.segments) > 1:
                self.memory.publish(request)
            if request.computed >= request.target:
                self._start_decoding(request)
                if request.first_token_at is None:
                    request.first_token_at = now
                    counters.first_token.observe(now - request.arrived_at)
                    end.first.append(request)
        while self._ends and self._ends[0][0] <= counters.steps:
            _, _, version, request = heapq.heappop(self._ends)
            if request.version == version and request.state is State.DECODING:
                self._stop(request)
                request.state, request.finished_at = State.FINISHED, now
                counters.finished += 1
                counters.whole_request.observe(now - request.arrived_at)
                end.finished.append(request)
        return end

    def _start_decoding(self, request: EngineRequest) -> None:
        """Its prompt is computed, which gives a token at once."""
        steps = self.counters.steps
        self._prefilling.remove(request)
        request.state = State.DECODING
        request.zero_step = steps - request.generated - 1
        request.counted_from = steps
        self._decoding += 1
        self._context += request.prompt_tokens + request.generated + 1
        self.memory.hold(request, 1)
        self.counters.generated_tokens += 1
        heapq.heappush(self._ends, (request.zero_step + request.output_tokens, request.order, request.version, request))

    def _stop(self, request: EngineRequest) -> None:
        """Takes a request out of what runs: it is done, aborted or pushed out."""
        if request.state is State.DECODING:
            steps = self.counters.steps
            request.generated = steps - request.zero_step
            self._decoding -= 1
            self._context -= request.prompt_tokens + request.generated
            request.version += 1
            if len(self._ends) > 2 * len(self.running) + VOID_ENDS_MAX:
                self._ends = [entry for entry in self._ends if entry[2] == entry[3].version]
                heapq.heapify(self._ends)
            # Each step has added a token; so has the one that is going on, when it began.
            request.private_tokens += steps - request.counted_from + (self._step is not None)
        else:
            self._prefilling.remove(request)
        del self.running[request.id]
        self.memory.release(request)

    # Who has to go where memory is short.

    def _make_room(self, tokens: int, *, asking: EngineRequest | None = None) -> bool:
        while self.memory.free < tokens:
            victim = self._victim()
            if victim is None or victim is asking:
                return False
            self._preempt(victim)
        return True

    def _victim(self) -> EngineRequest | None:
        if not self.running:
            return None
        if self.queueing is Queueing.FCFS:
            return next(reversed(self.running.values()))
        return max(self.running.values(), key=lambda request: (request.priority, request.order))

    def _displace_for(self, request: EngineRequest, tokens: int) -> bool:
        """Pushes out requests of worse priority until there are a slot and `tokens` of memory. False where that is not enough."""
        if self.queueing is not Queueing.PREEMPT:
            return False
        while len(self.running) >= self.profile.max_num_seqs or self.memory.free < tokens:
            victim = self._victim()
            if victim is None or victim.priority <= request.priority:
                return False
            self._preempt(victim)
        return True

    def _preempt(self, request: EngineRequest) -> None:
        self._stop(request)
        self.counters.preemptions += 1
        request.preemptions += 1
        request.state = State.WAITING
        request.target = request.prompt_tokens + request.generated
        request.computed = 0
        self.waiting.add_first(request)
