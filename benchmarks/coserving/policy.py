"""What a policy of sending is: the whole of what a gateway can see of an engine over HTTP, and all that it can do to it.

A policy is an object that hears of events and answers by calling its `Gateway`. It is pure: time comes with each event, and
everything that happens to it is in the order in which it would happen. Nothing else of the engine reaches it. In particular it
does not know how long an answer will be, who else uses the engine, or what a step of the engine holds.

A request takes `NETWORK_SECONDS` to the engine, and each event as long back: a request that is aborted has been going on for
that long, and the answer to a scrape is as old.

    class Four(Policy):                       # keeps four requests out
        name = "four"
        def start(self, gateway):
            self.gateway = gateway
            for _ in range(4):
                gateway.send(gateway.take())
        def on_done(self, prompt, now, usage):
            self.gateway.send(self.gateway.take())

The product's controller is put in by an adapter of this kind, which translates these events into its own and back.
"""

from dataclasses import dataclass
from typing import Protocol

NETWORK_SECONDS = 0.003


@dataclass(frozen=True, slots=True)
class Prompt:
    """A request of the backlog, as its sender knows it."""

    id: str
    prompt_tokens: int
    """Counted with the model's tokenizer; after an abort with `keep`, with the answer so far."""
    max_tokens: int
    """The most that the answer may have: what the user has asked for, generous as users are."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer says at its end."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int


class Gateway(Protocol):
    """What a policy can do. All of it returns at once; what comes of it is told later."""

    def now(self) -> float:
        """Seconds since the start."""

    def take(self) -> Prompt:
        """Takes the next request of the backlog, which never ends. What was aborted comes first."""

    def send(self, prompt: Prompt, *, stream: bool = False) -> None:
        """Sends it. Streamed, each of its tokens is told of; otherwise only its end."""

    def send_slice(self, prompt: Prompt, tokens: int) -> None:
        """Sends the first `tokens` of it with `max_tokens` 1, so that they are in the cache when it is sent itself. The engine
        keeps whole blocks of 16. `on_slice` tells of its end."""

    def abort(self, prompt: Prompt, *, keep: bool = False) -> None:
        """Closes its connection, or that of its slice; it goes to the head of the backlog at once. With `keep`, the tokens that
        were streamed go on to be its prompt; otherwise they are lost."""

    def give_back(self, prompt: Prompt) -> None:
        """Puts what was taken and not sent to the head of the backlog."""

    def scrape(self) -> None:
        """Asks for the metrics page; `on_metrics` brings it."""

    def wake_at(self, moment: float) -> None:
        """Calls `on_tick` then. Several wakes may be asked for."""


class Policy:
    """The events, each with the moment at which it reaches the gateway. The base class does nothing with any."""

    name = "off"

    def start(self, gateway: Gateway) -> None:
        """Called once, at the beginning: keep the gateway."""

    def on_first(self, prompt: Prompt, now: float) -> None:
        """The first chunk of a streamed request, with one token."""

    def on_chunk(self, prompt: Prompt, now: float, tokens: int) -> None:
        """A further chunk of a streamed request with that many tokens (`continuous_usage_stats` says how many)."""

    def on_done(self, prompt: Prompt, now: float, usage: Usage) -> None:
        """A request has been answered."""

    def on_slice(self, prompt: Prompt, now: float, usage: Usage) -> None:
        """A slice has been answered."""

    def on_metrics(self, now: float, samples: dict[str, float]) -> None:
        """The metrics page: vLLM's names without the labels of engine and model, such as `vllm:num_requests_running`,
        `vllm:iteration_tokens_total_count` or `vllm:time_to_first_token_seconds_bucket{le="0.1"}`. How large the cache is, is in
        the labels of `vllm:cache_config_info{...}`, as on the real page."""

    def on_tick(self, now: float) -> None:
        """A moment that was asked for."""
