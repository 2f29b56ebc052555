"""What `saturate` 0.2 (PyPI, Apache-2.0) does: a window that follows completions, tokens a second, and the engine's gauges.

Written from the rules that its controller documents (class `Auto` of `saturate/controller.py`; what it observes is in
`saturate/core.py`), in their order. Every two seconds the first of these that applies decides:

    after a cut         nothing changes until what was sent before it is through
    KV pressure         at 0.9 and above the window is halved; vLLM's page has no rate of hits that would excuse it
    stall               a full window and no completion for three ticks, or three latencies: halved
    queue               more than 16 waiting: eight fewer
    probe               eight more have not brought more tokens: back
    evidence            nothing changes before as many have completed as the window is wide
    growth              more tokens a second than ever: doubled until there was a queue or a cut, then eight more
    plateau             not more: eight more all the same after 4, 8, 16 and 32 such looks

Refusals and time-outs halve it as well; the model of an engine has neither. Nor does a source that is too slow occur here.
"""

from collections import deque
from statistics import median

from benchmarks.coserving.policy import Gateway, Policy, Prompt, Usage
from benchmarks.coserving.rivals import KV, WAITING

TICK_SECONDS = 2.0
FIRST, LEAST, MOST, STEP = 16, 2, 512, 8
WAITING_LOW, WAITING_HIGH = 2, 16
KV_HIGH, BETTER = 0.9, 1.05
USED, STALL_TICKS, LATENCIES = 0.8, 3, 128
PROBE_WAIT, PROBE_WAIT_MAX, PROBE_TICKS = 4, 32, 3


class Saturate(Policy):
    """`most` is its `max_limit`, the one setting that bounds what it takes."""

    def __init__(self, most: int = MOST) -> None:
        self.name = f"saturate {most}"
        self.window = min(FIRST, most)
        self.why = "begin"
        self._most = most
        self._sent: dict[str, float] = {}
        self._latencies: deque[float] = deque(maxlen=LATENCIES)
        self._completed = 0
        self._tokens = 0
        self._looked_at = 0.0
        self._doubles = True
        self._ever = False
        # What is waited for after a cut, and how long ago it was.
        self._drain = 0.0
        self._since_cut = 0.0
        self._silent = 0.0
        self._can_stall = False
        self._queue_ticks = 0
        self._evidence = 0
        self._rates: list[float] = []
        self._best = 0.0
        self._probed_from: int | None = None
        self._probe_age = 0
        self._plateaus, self._patience = 0, PROBE_WAIT

    def start(self, gateway: Gateway) -> None:
        self._gateway = gateway
        gateway.wake_at(TICK_SECONDS)
        self._fill(0.0)

    def on_tick(self, now: float) -> None:
        self._gateway.scrape()
        self._gateway.wake_at(now + TICK_SECONDS)

    def on_done(self, prompt: Prompt, now: float, usage: Usage) -> None:
        self._latencies.append(now - self._sent.pop(prompt.id))
        self._completed += 1
        self._tokens += usage.prompt_tokens + usage.completion_tokens
        self._fill(now)

    def on_metrics(self, now: float, samples: dict[str, float]) -> None:
        seconds, self._looked_at = now - self._looked_at, now
        oldest = now - min(self._sent.values()) if self._sent else 0.0
        self.looked(seconds, samples[WAITING], samples[KV], oldest=oldest)
        self._fill(now)

    def _fill(self, now: float) -> None:
        while len(self._sent) < self.window:
            prompt = self._gateway.take()
            self._sent[prompt.id] = now
            self._gateway.send(prompt)

    def looked(self, seconds: float, waiting: float, kv: float, *, oldest: float) -> None:
        """One tick: what the page says, and for how long the oldest request has been out."""
        out, completed, rate = len(self._sent), self._completed, self._tokens / seconds
        self._completed = self._tokens = 0
        latency = median(self._latencies) if self._latencies else None
        patience = max(STALL_TICKS * seconds, 3 * latency) if latency is not None else STALL_TICKS * seconds
        self._since_cut += seconds
        self._ever = self._ever or completed > 0
        if self._probed_from is not None:
            self._probe_age += 1
        if self._ever:
            if out >= int(USED * self.window):
                self._evidence += completed
                self._rates.append(rate)
            self._queue_ticks = self._queue_ticks + 1 if waiting >= WAITING_LOW else 0
            self._doubles = self._doubles and self._queue_ticks < 2
        if self._drains(oldest, patience):
            self._silent = 0.0
            self._forget()
            self.why = "after a cut"
            return
        self._drain = 0.0
        self._can_stall = self._can_stall or completed > 0
        self._silent = self._silent + seconds if out >= self.window and not completed else 0.0
        wait = max(2 * seconds, latency) if latency is not None else 3 * seconds
        if kv >= KV_HIGH:
            self._cut(self.window // 2, wait, "KV pressure")
        elif self._can_stall and self._silent >= patience:
            self._cut(self.window // 2, wait, "stall")
        elif self._ever and waiting > WAITING_HIGH:
            self._cut(self.window - STEP, wait, "queue")
        else:
            self._widen(out, room=waiting < WAITING_LOW)

    def _drains(self, oldest: float, patience: float) -> bool:
        old = oldest > self._since_cut and self._since_cut <= patience
        return self._drain > 0.0 and (self._since_cut <= self._drain or old)

    def _forget(self) -> None:
        self._evidence, self._rates = 0, []

    def _cut(self, window: int, wait: float, why: str) -> None:
        measured_at = self._probed_from or self.window
        self._doubles, self._probed_from, self._plateaus = False, None, 0
        window = max(LEAST, window)
        self.why = why
        if window >= self.window:
            return
        # Of a smaller window fewer tokens are expected.
        self._best *= min(1.0, window / measured_at)
        self._forget()
        self._drain, self._since_cut, self._silent, self._can_stall = wait, 0.0, 0.0, False
        self.window = window

    def _better(self) -> bool | None:
        """Whether as many as the window is wide have brought more than ever; None where it is too soon to say."""
        if self._evidence < self.window:
            return None
        # The first look after a change still shows what was before it.
        rates = self._rates[1:] or self._rates
        mean = sum(rates) / len(rates)
        if mean > BETTER * self._best:
            self._best = mean
        elif len(self._rates) < 2:
            return None
        else:
            self._forget()
            return False
        self._forget()
        return True

    def _widen(self, out: int, *, room: bool) -> None:
        better = self._better()
        if self._probed_from is not None:
            if better:
                self._probed_from, self._patience = None, PROBE_WAIT
            elif better is False and self._probe_age >= PROBE_TICKS:
                self.window, self._probed_from = self._probed_from, None
                self._patience = min(PROBE_WAIT_MAX, 2 * self._patience)
                self.why = "back"
                return
        self.why = "hold"
        if not room or out < int(USED * self.window) or better is None:
            return
        wider = min(self._most, self.window + STEP)
        if better:
            self.window = min(self._most, 2 * self.window) if self._doubles else wider
            self.why = "growth"
        elif self._probed_from is None:
            self._plateaus += 1
            if self._plateaus >= self._patience and wider > self.window:
                self._plateaus, self._probed_from, self._probe_age = 0, self.window, 0
                self.window, self.why = wider, "probe"
