"""The product's own pacing as a policy: it translates events, and decides nothing."""

from dataclasses import dataclass

from benchmarks.coserving.policy import Gateway, Policy, Prompt, Usage

from slackwater.core.sending.engine_counters import Counters
from slackwater.core.sending.metrics_page import counters_in
from slackwater.core.sending.pacing import FOREVER, Pacer
from slackwater.core.sending.peers import Word
from slackwater.core.sending.slicing import next_cut
from slackwater.core.sending.step_target import Point, StepTarget

LOOK_SECONDS = 0.5


class Product(Policy):
    """A pacer that looks at the metrics page, listens to one of its own calls and sends long prompts in slices, as the product
    does.

    With `whole`, every call is streamed, so that each first token is seen: what the product does not do.
    """

    def __init__(self, pacer: Pacer, *, whole: bool = False, board: dict[str, Word] | None = None) -> None:
        """`board` is where servers of ours say what they have out whenever it changes, each under a name."""
        self._board = board
        self.name = f"slackwater {pacer.aim.point}"
        self.pacer = pacer
        pacer.slices = True
        self._whole = whole
        self._out: set[str] = set()
        self._head: Prompt | None = None
        self._look_at = -FOREVER
        self._canary = ""
        self._chunk_at: float | None = None
        self._reading: dict[str, float] = {}
        # When those are over of which nobody says so.
        self._read_at: list[tuple[float, str]] = []
        # What has been sent of those that go in slices.
        self._sliced: dict[str, int] = {}

    @property
    def out(self) -> int:
        """How many requests are out."""
        return len(self._out)

    def start(self, gateway: Gateway) -> None:
        self._gateway = gateway
        if self._board is not None:
            self._own_name = f"server {len(self._board)}"
            self._board[self._own_name] = self.pacer.word(0)
        self.on_tick(gateway.now())

    def on_tick(self, now: float) -> None:
        if now >= self._look_at - 1e-9:
            self._look_at = now + LOOK_SECONDS
            self._gateway.wake_at(self._look_at)
            self._gateway.scrape()
        for at, prompt in [each for each in self._read_at if each[0] <= now + 1e-9]:
            self._read_at.remove((at, prompt))
            self._read(prompt)
        self._fill(now)

    def on_first(self, prompt: Prompt, now: float) -> None:
        if self._whole:
            self._read(prompt.id)
            self._fill(now)
        self._hears(prompt, now)

    def on_chunk(self, prompt: Prompt, now: float, tokens: int) -> None:
        if self._hears(prompt, now) and self._chunk_at is not None:
            self.pacer.gap(now - self._chunk_at, tokens, in_flight=len(self._out), now=now)
            self._chunk_at = now
            self._fill(now)

    def _hears(self, prompt: Prompt, now: float) -> bool:
        """Whether this is the one that is listened to; its first chunk, and the first after another has ended, make it that."""
        if self._canary not in ("", prompt.id):
            return False
        if self._canary == prompt.id and self._chunk_at is not None:
            return True
        self._canary, self._chunk_at = prompt.id, now
        return False

    def on_done(self, prompt: Prompt, now: float, usage: Usage) -> None:
        self._out.discard(prompt.id)
        self._read(prompt.id)
        if prompt.id == self._canary:
            self._canary, self._chunk_at = "", None
        self._fill(now)

    def on_slice(self, prompt: Prompt, now: float, usage: Usage) -> None:
        self._go_on(prompt)

    def _go_on(self, prompt: Prompt) -> None:
        sent = self._sliced.pop(prompt.id, 0)
        upto = next_cut(sent, prompt.prompt_tokens, self.pacer.slice)
        if upto is None:
            self.pacer.found(prompt.prompt_tokens, sent)
            self._rest(prompt, self._gateway.now())
            self._send(prompt)
        else:
            self._sliced[prompt.id] = int(upto)
            self.pacer.found(upto, sent)
            self._gateway.send_slice(prompt, int(upto))

    def _rest(self, prompt: Prompt, now: float) -> None:
        """From now on it takes a while until the engine has read it."""
        if not self._whole:
            read_at = now + self.pacer.reading_seconds(self._reading[prompt.id])
            self._read_at.append((read_at, prompt.id))
            self._gateway.wake_at(read_at)

    def _send(self, prompt: Prompt) -> None:
        others = self.pacer.target not in (None, FOREVER)
        listens = not self._canary and others
        if listens and not self._whole:
            self._canary, self._chunk_at = prompt.id, None
        self._gateway.send(prompt, stream=self._whole or listens)

    def _read(self, prompt: str) -> None:
        chunk = self._reading.pop(prompt, None)
        if chunk is not None:
            self.pacer.read(chunk)

    def on_metrics(self, now: float, samples: dict[str, float]) -> None:
        self.pacer.looked(counters_of(samples), in_flight=len(self._out), now=now, peers=self._peers())
        self._fill(now)

    def _fill(self, now: float) -> None:
        self._send_more(now)
        if self._board is not None:
            self._board[self._own_name] = self.pacer.word(len(self._out))

    def _peers(self) -> dict[str, Word]:
        return {name: word for name, word in (self._board or {}).items() if name != self._own_name}

    def _send_more(self, now: float) -> None:
        self.pacer.peers.heard(self._peers())
        while True:
            prompt = self._head or self._gateway.take()
            self._head = prompt
            if self.pacer.admits(len(self._out), prompt.prompt_tokens, now) > 0.0:
                return
            self._head = None
            self._out.add(prompt.id)
            chunk = self._reading[prompt.id] = self.pacer.sent(prompt.prompt_tokens, now)
            if chunk < prompt.prompt_tokens:
                self._go_on(prompt)
            else:
                self._rest(prompt, now)
                self._send(prompt)


def counters_of(samples: dict[str, float]) -> Counters:
    """What the product reads of the page."""
    found = counters_in(
        "\n".join(f"{name} {value}" for name, value in samples.items() if "_bucket{" not in name).encode()
    )
    assert found is not None, "it is vLLM's"
    return found


@dataclass(slots=True)
class HeldTarget(StepTarget):
    """One that somebody knows beforehand: the step that others may see while they are there."""

    held: float = 0.0
    """Seconds."""

    def after(self, seconds: float) -> float | None:
        return self.held


def held(step: float) -> Product:
    """The whole law with the best target of each scenario, which nobody has in life; in seconds."""
    return Product(Pacer(HeldTarget(held=step)), whole=True)


def product(setting: str, slo: float, *, whole: bool = False) -> Product:
    """For one of the regimes; what is promised to others is of no account but for `slo`."""
    return Product(Pacer(StepTarget(Point(setting), slo)), whole=whole)
