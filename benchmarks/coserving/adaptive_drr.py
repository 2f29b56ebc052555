"""The scheduler of a client before a black box, after arXiv 2604.06970, "Scheduling the Unschedulable" (Yuan and others, 2026).

Its three layers, each with what is known of a request before it is sent, a coarse prior of its tokens:

    allocation   classes of requests by their size share by deficit round robin, the large ones with less the more congested it is
    ordering     within a class the one that has waited longest for its size
    overload     at each rung of severity the next larger class is deferred; small ones are always admitted

The paper has its figures tuned by hand to a mock of a vendor, and leaves them to whoever runs it: bounds of classes, weights and
rungs here are ours. Congestion is what a client sees of it, the seconds for each token of its own answers against the best.
A batch loses nothing, so what the paper rejects is deferred here too; and because a backlog never ends, those that are deferred
stay in a look-ahead of fixed size, or only small requests would ever be done.
"""

from collections import deque

from benchmarks.coserving.policy import Gateway, Policy, Prompt, Usage

# Predicted tokens of prompt and answer up to which a request is of a class; the last class has the rest.
BOUNDS = (500.0, 1200.0, 3000.0)
# Of what a class gets in a round without congestion, and so much less of it at full severity.
QUANTUM, LESS = 1000.0, (0.0, 0.3, 0.6, 0.9)
# The severity from which a class is deferred. The first never is.
RUNGS = (float("inf"), 0.9, 0.7, 0.5)
# So many times the best pace is full severity.
SEVERE = 3.0
SMOOTH, BEST_GROWS, TOKENS_MIN = 0.1, 1.0005, 8
ANSWER_FIRST = 200.0
AHEAD, DEFERRED_SECONDS = 64, 1.0


class AdaptiveDrr(Policy):
    """At most `limit` requests out."""

    def __init__(self, limit: int) -> None:
        self.name = f"adaptive drr {limit}"
        self.severity = 0.0
        self._limit = limit
        self._queues: tuple[deque[tuple[Prompt, float]], ...] = tuple(deque() for _ in RUNGS)
        self._deficits = [0.0] * len(RUNGS)
        self._turn = 0
        self._sent: dict[str, float] = {}
        self._answer = ANSWER_FIRST
        self._pace: float | None = None
        self._best: float | None = None

    def start(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.on_tick(0.0)

    def on_tick(self, now: float) -> None:
        """What is deferred is looked at again."""
        self._gateway.wake_at(now + DEFERRED_SECONDS)
        self._fill(now)

    def on_done(self, prompt: Prompt, now: float, usage: Usage) -> None:
        pace = (now - self._sent.pop(prompt.id)) / max(TOKENS_MIN, usage.completion_tokens)
        self._answer += SMOOTH * (usage.completion_tokens - self._answer)
        self._pace = pace if self._pace is None else self._pace + SMOOTH * (pace - self._pace)
        # The best is forgotten slowly: an engine may have become another one.
        self._best = self._pace if self._best is None else min(self._pace, BEST_GROWS * self._best)
        self.severity = max(0.0, min(1.0, (self._pace / self._best - 1.0) / (SEVERE - 1.0)))
        self._fill(now)

    def _size(self, prompt: Prompt) -> float:
        return prompt.prompt_tokens + min(self._answer, prompt.max_tokens)

    def _fill(self, now: float) -> None:
        while len(self._sent) < self._limit:
            while sum(map(len, self._queues)) < AHEAD:
                prompt = self._gateway.take()
                size = self._size(prompt)
                self._queues[sum(size > bound for bound in BOUNDS)].append((prompt, now))
            chosen = self._next(now)
            if chosen is None:
                return
            self._sent[chosen.id] = now
            self._gateway.send(chosen)

    def _next(self, now: float) -> Prompt | None:
        """By deficit round robin over the classes that are admitted and have something."""
        admitted = [
            kind for kind, queue in enumerate(self._queues) if queue and (self.severity < RUNGS[kind] or not self._sent)
        ]
        if not admitted:
            return None
        while True:
            kind = self._turn
            if kind in admitted:
                best = max(self._queues[kind], key=lambda each: (now - each[1] + 1.0) / self._size(each[0]))
                if self._deficits[kind] >= self._size(best[0]):
                    self._deficits[kind] -= self._size(best[0])
                    self._queues[kind].remove(best)
                    return best[0]
            elif not self._queues[kind]:
                self._deficits[kind] = 0.0
            self._turn = (kind + 1) % len(RUNGS)
            if self._turn in admitted:
                self._deficits[self._turn] += QUANTUM * (1.0 - LESS[self._turn] * self.severity)
