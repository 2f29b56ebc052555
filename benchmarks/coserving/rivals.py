"""The policies that others use, through the same interface as the product's own."""

from statistics import median

from benchmarks.coserving.policy import Gateway, Policy, Prompt, Usage

RUNNING, WAITING, KV = "vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"


class Fixed(Policy):
    """Always `limit` requests out: a semaphore, as most loops have it."""

    def __init__(self, limit: int) -> None:
        self.name = f"fixed {limit}"
        self._limit = limit

    def start(self, gateway: Gateway) -> None:
        self._gateway = gateway
        for _ in range(self._limit):
            gateway.send(gateway.take())

    def on_done(self, prompt: Prompt, now: float, usage: Usage) -> None:
        self._gateway.send(self._gateway.take())


class Aimd(Policy):
    """After Netflix' AIMDLimit, on seconds for each token of an answer. While a sample is at most `tolerance` times the best
    median of 20, the limit grows by one for as many samples as it is; otherwise it is cut by a tenth, at most once a second."""

    SAMPLES, CUT, CUT_SECONDS, LIMIT_MAX, TOKENS_MIN = 20, 0.9, 1.0, 1024, 8

    def __init__(self, tolerance: float = 2.0) -> None:
        self.name = f"aimd {tolerance:g}"
        self._tolerance = tolerance
        self._limit = 8.0
        self._best: float | None = None
        self._samples: list[float] = []
        self._cut_at = 0.0
        self._sent: dict[str, float] = {}

    def start(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._fill(0.0)

    def _fill(self, now: float) -> None:
        while len(self._sent) < int(self._limit):
            prompt = self._gateway.take()
            self._sent[prompt.id] = now
            self._gateway.send(prompt)

    def on_done(self, prompt: Prompt, now: float, usage: Usage) -> None:
        sample = (now - self._sent.pop(prompt.id)) / max(self.TOKENS_MIN, usage.completion_tokens)
        self._samples.append(sample)
        if len(self._samples) >= self.SAMPLES:
            middle = median(self._samples)
            self._samples.clear()
            self._best = middle if self._best is None else min(self._best, middle)
        if self._best is None or sample <= self._tolerance * self._best:
            self._limit = min(self.LIMIT_MAX, self._limit + 1 / self._limit)
        elif now - self._cut_at > self.CUT_SECONDS:
            self._limit, self._cut_at = max(1.0, self._limit * self.CUT), now
        self._fill(now)


class Scraping(Policy):
    """Looks at the metrics page once a second, and sends what `allowed` says then."""

    SECONDS = 1.0

    def start(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.on_tick(0.0)

    def on_tick(self, now: float) -> None:
        self._gateway.scrape()
        self._gateway.wake_at(now + self.SECONDS)

    def on_metrics(self, now: float, samples: dict[str, float]) -> None:
        for _ in range(self.allowed(samples)):
            self._gateway.send(self._gateway.take())

    def allowed(self, samples: dict[str, float]) -> int:
        """How many requests to send now."""
        raise NotImplementedError


class TotalCap(Scraping):
    """The budget law of llm-d's batch gateway: all requests of the engine, whoever sends them, are to stay below a number.

    Its N = max_concurrency * (1 - saturation - baseline), with saturation = (running + waiting) / max_concurrency, is this.
    """

    def __init__(self, cap: int) -> None:
        self.name = f"total cap {cap}"
        self._cap = cap

    def allowed(self, samples: dict[str, float]) -> int:
        return max(0, self._cap - int(samples[RUNNING] + samples[WAITING]))


class WaitingGate(Scraping):
    """Sends a handful while nobody waits and memory is not short: the gate of saturation that most gateways have."""

    KV_MAX = 0.9

    def __init__(self, handful: int) -> None:
        self.name = f"waiting gate {handful}"
        self._handful = handful

    def allowed(self, samples: dict[str, float]) -> int:
        return self._handful if samples[WAITING] == 0 and samples[KV] < self.KV_MAX else 0
