"""An engine that is a formula, for whoever paces one."""

from dataclasses import dataclass, field

from slackwater.core.sending.engine_counters import Counters
from slackwater.core.sending.pacing import Pacer
from slackwater.core.sending.step_target import Point, StepTarget

LOOK, KV = 0.5, 100_000.0


@dataclass
class Formula:
    """An engine whose steps cost 10 ms, 0.2 ms for each request, and 70 us for each token of a prompt. Nobody's answer ends."""

    pacer: Pacer
    others: float = 0.0
    waiting: float = 0.0
    kv: float = 0.1
    now: float = 0.0
    out: int = 0
    steps: float = 0.0
    generated: float = 0.0
    prefilled: float = 0.0
    tokens: float = 100.0
    found: float | None = None
    block: int | None = None
    prefixes: bool = True
    long: float = 0.0
    """Tokens of others' prompts in each step."""
    history: list[float] = field(default_factory=list)

    def counters(self) -> Counters:
        return Counters(
            running=self.others + self.out - min(self.out, self.waiting if not self.others else 0.0),
            waiting=self.waiting,
            kv=self.kv,
            steps=self.steps,
            step_tokens=self.generated + self.prefilled,
            generated=self.generated,
            kv_tokens=KV,
            found=self.found,
            block_tokens=self.block,
            prefixes=self.prefixes,
        )

    def step(self) -> float:
        return 0.010 + 0.0002 * (self.others + self.out) + 70e-6 * self.long

    def go(self, seconds: float, *, sends: bool = True) -> None:
        """So long, with a look twice a second; ours are as many as the window says."""
        for _ in range(round(seconds / LOOK)):
            while sends and not self.pacer.admits(self.out, self.tokens, self.now):
                chunk = self.pacer.sent(self.tokens, self.now)
                self.out += 1
                self.prefilled += self.tokens
                self.pacer.read(chunk)
            self.out = min(self.out, max(0, int(self.pacer.window)))
            step = self.step()
            self.steps += LOOK / step
            self.generated += LOOK / step * (self.others + self.out)
            self.prefilled += LOOK / step * self.long
            self.now += LOOK
            self.history.append(step)
            self.pacer.looked(self.counters(), in_flight=self.out, now=self.now)


def engine(point: Point = Point.GENTLE, **more: float) -> Formula:
    return Formula(Pacer(StepTarget(point, more.pop("slo", None))), **more)
