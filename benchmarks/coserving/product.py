"""The product's own pacing as a policy: it translates events, and decides nothing."""

from benchmarks.coserving.policy import Gateway, Policy, Prompt, Usage

from slackwater.core.sending.engine_counters import Counters
from slackwater.core.sending.pacing import Pacer, Point

LOOK_SECONDS = 0.5


class Product(Policy):
    """A pacer that looks at the metrics page, and listens to its own streams."""

    def __init__(self, pacer: Pacer, *, stream: bool = True) -> None:
        self.name = f"slackwater {pacer.point}"
        self.pacer = pacer
        self._stream = stream
        self._out: set[str] = set()
        self._head: Prompt | None = None
        self._look_at = 0.0
        self._canary = ""
        self._chunk_at = 0.0
        self._reading: dict[str, float] = {}
        # What has been sent of those that go in slices, and the size of these.
        self._sliced: dict[str, tuple[int, int]] = {}
        self.trace: list[tuple] = []

    def start(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.on_tick(0.0)

    def on_tick(self, now: float) -> None:
        if now >= self._look_at - 1e-9:
            self._look_at = now + LOOK_SECONDS
            self._gateway.wake_at(self._look_at)
            self._gateway.scrape()
        self._fill(now)

    def on_first(self, prompt: Prompt, now: float) -> None:
        self._read(prompt)
        if not self._canary:
            self._canary, self._chunk_at = prompt.id, now
        self._fill(now)

    def on_chunk(self, prompt: Prompt, now: float, tokens: int) -> None:
        if not self._canary:
            self._canary, self._chunk_at = prompt.id, now
        elif prompt.id == self._canary:
            self.pacer.gap(now - self._chunk_at, tokens, in_flight=len(self._out), now=now)
            self._chunk_at = now
            self._fill(now)

    def on_done(self, prompt: Prompt, now: float, usage: Usage) -> None:
        self._out.discard(prompt.id)
        self._read(prompt)
        if prompt.id == self._canary:
            self._canary = ""
        self._fill(now)

    def on_slice(self, prompt: Prompt, now: float, usage: Usage) -> None:
        sent, size = self._sliced[prompt.id]
        self._go_on(prompt, sent, size)

    def _go_on(self, prompt: Prompt, sent: int, size: int) -> None:
        if sent + size >= prompt.prompt_tokens - size // 2:
            self._sliced.pop(prompt.id, None)
            self._gateway.send(prompt, stream=self._stream)
        else:
            self._sliced[prompt.id] = sent + size, size
            self._gateway.send_slice(prompt, sent + size)

    def _read(self, prompt: Prompt) -> None:
        chunk = self._reading.pop(prompt.id, None)
        if chunk is not None:
            self.pacer.read(chunk)

    def on_metrics(self, now: float, samples: dict[str, float]) -> None:
        self.pacer.looked(counters_of(samples), in_flight=len(self._out), now=now)
        p = self.pacer
        self.trace.append((now, p.step, p.alone, p.target, p.window, len(self._out), p.others, p.prompts, p.frozen))
        self._fill(now)

    def _fill(self, now: float) -> None:
        while True:
            prompt = self._head or self._gateway.take()
            self._head = prompt
            if self.pacer.admits(len(self._out), prompt.prompt_tokens, now) > 0.0:
                return
            self._head = None
            self._out.add(prompt.id)
            size = self.pacer.slice
            self._reading[prompt.id] = self.pacer.sent(prompt.prompt_tokens, now)
            if size and prompt.prompt_tokens > 1.5 * size:
                self._go_on(prompt, 0, size)
            else:
                self._gateway.send(prompt, stream=self._stream)


def counters_of(samples: dict[str, float]) -> Counters:
    """What the product reads of vLLM's page."""
    size = block = None
    for name in samples:
        if name.startswith("vllm:cache_config_info{"):
            labels = dict(part.split("=", 1) for part in name[name.index("{") + 1 : -1].split(","))
            block = int(labels["block_size"].strip('"'))
            size = float(labels["num_gpu_blocks"].strip('"')) * block
    return Counters(
        running=samples["vllm:num_requests_running"],
        waiting=samples["vllm:num_requests_waiting"],
        kv=samples["vllm:kv_cache_usage_perc"],
        steps=samples["vllm:iteration_tokens_total_count"],
        step_tokens=samples["vllm:iteration_tokens_total_sum"],
        generated=samples["vllm:generation_tokens_total"],
        token_seconds=samples["vllm:inter_token_latency_seconds_sum"],
        token_gaps=samples["vllm:inter_token_latency_seconds_count"],
        kv_tokens=size,
        block_tokens=block,
    )


def product(setting: str, slo: float) -> Product:
    return Product(Pacer(point=Point(setting), slo=slo, slices=True))
