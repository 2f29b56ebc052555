"""Our law that also takes back: while others wait, the youngest of its requests are aborted and go to the head of the backlog.

What is out when others come stays for seconds, and each abort throws away what was generated. So there is a budget: of all the
seconds that requests are out, a share may be thrown away, and no more than so many seconds at once.
"""

from benchmarks.coserving.policy import Prompt, Usage
from benchmarks.coserving.product import Product

from slackwater.core.sending.pacing import Pacer
from slackwater.core.sending.step_target import Point, StepTarget

# Looks with others waiting, after which so much is taken back.
WAITED, WAITED_SHARE = 2, 0.15
BUDGET_SHARE, BUDGET_MAX = 0.05, 120.0


class Shedding(Product):
    """`share` of all seconds may be thrown away; 0.0 is the law without it."""

    def __init__(self, pacer: Pacer, *, whole: bool = True, share: float = BUDGET_SHARE) -> None:
        super().__init__(pacer, whole=whole)
        self.name = f"shedding {share}"
        self._share = share
        self._budget = 0.0
        self._budget_at = 0.0
        self._waited = 0
        # In order of sending, so the youngest are last.
        self._sent: dict[str, tuple[Prompt, float]] = {}

    def _send(self, prompt: Prompt) -> None:
        self._sent[prompt.id] = prompt, self._gateway.now()
        super()._send(prompt)

    def on_done(self, prompt: Prompt, now: float, usage: Usage) -> None:
        self._sent.pop(prompt.id, None)
        super().on_done(prompt, now, usage)

    def on_metrics(self, now: float, samples: dict[str, float]) -> None:
        self._budget = min(BUDGET_MAX, self._budget + self._share * len(self._out) * (now - self._budget_at))
        self._budget_at = now
        super().on_metrics(now, samples)
        self._waited = self._waited + 1 if self.pacer.frozen and self.pacer.others > 1.0 else 0
        if self._waited >= WAITED:
            self._shed(int(WAITED_SHARE * len(self._sent)) + 1, now)

    def _shed(self, count: int, now: float) -> None:
        while count > 0 and len(self._sent) > 1:
            prompt, sent_at = next(reversed(self._sent.values()))
            if now - sent_at > self._budget:
                return
            self._budget -= now - sent_at
            count -= 1
            del self._sent[prompt.id]
            self._out.discard(prompt.id)
            self._read(prompt.id)
            if prompt.id == self._canary:
                self._canary, self._chunk_at = "", None
            if self._head is not None:
                self._gateway.give_back(self._head)
                self._head = None
            self._gateway.abort(prompt)


def shedding(setting: str, slo: float, *, share: float = BUDGET_SHARE) -> Shedding:
    """For one of the regimes."""
    return Shedding(Pacer(StepTarget(Point(setting), slo)), share=share)
