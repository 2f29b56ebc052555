"""The product's pacing of an engine that has no metrics page, as a policy: it translates events, and decides nothing."""

from benchmarks.coserving.policy import Gateway, Policy, Prompt, Usage

from slackwater.core.sending.latency_pacing import LatencyPacer
from slackwater.core.sending.step_target import Point

# What may be out where nobody has named a number, and there is no page.
MOST = 64


class ByAnswers(Policy):
    """A latency pacer that hears of each answer."""

    def __init__(self, setting: str, slo: float) -> None:
        self.name = f"by answers {setting}"
        self.pacer = LatencyPacer(Point(setting), slo)
        self._begun: dict[str, float] = {}

    def start(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._fill(0.0)

    def on_done(self, prompt: Prompt, now: float, usage: Usage) -> None:
        begun, new = self._begun.pop(prompt.id), usage.prompt_tokens - usage.cached_tokens
        self.pacer.answered(begun, now, prompt=new, output=usage.completion_tokens, most=MOST)
        self._fill(now)

    def _fill(self, now: float) -> None:
        while len(self._begun) < min(MOST, int(self.pacer.window)):
            prompt = self._gateway.take()
            self._begun[prompt.id] = now
            self._gateway.send(prompt)
