"""The product's pacing where its servers are on several hosts: they hear each other once a second, by way of the ledger."""

from benchmarks.coserving.policy import Gateway, Prompt, Usage
from benchmarks.coserving.product import Product, counters_of

from slackwater.core.sending.late_peers import FarPeer, LateLooks, Past
from slackwater.core.sending.pacing import Pacer
from slackwater.core.sending.peers import Word

TALK_SECONDS = 1.0


class LateProduct(Product):
    """One of them. `ledger` has what each has said last; `ahead` is how far its clock is, in seconds."""

    def __init__(self, pacer: Pacer, *, ledger: dict[str, FarPeer], ahead: float = 0.0) -> None:
        super().__init__(pacer)
        self._ahead = ahead
        self._ledger = ledger
        self._past = Past()
        self._late = LateLooks()
        self._far: dict[str, FarPeer] = {}
        self._talk_at = 0.0

    def start(self, gateway: Gateway) -> None:
        self._host = f"host {len(self._ledger)}"
        self._ledger[self._host] = self._past.told(self.pacer.word(0), gateway.now())
        super().start(gateway)

    def on_tick(self, now: float) -> None:
        if now >= self._talk_at - 1e-9:
            self._talk_at = now + TALK_SECONDS
            self._gateway.wake_at(self._talk_at)
            self._note(now)
            self._ledger[self._host] = self._past.told(self.pacer.word(len(self._out)), now + self._ahead)
            self._far = {host: peer for host, peer in self._ledger.items() if host != self._host}
        super().on_tick(now)

    def on_done(self, prompt: Prompt, now: float, usage: Usage) -> None:
        super().on_done(prompt, now, usage)
        self._note(now)

    def on_metrics(self, now: float, samples: dict[str, float]) -> None:
        self._late.looked(
            self.pacer,
            counters_of(samples),
            in_flight=len(self._out),
            now=now,
            at=now + self._ahead,
            near={},
            far=self._far,
        )
        self._fill(now)

    def _fill(self, now: float) -> None:
        super()._fill(now)
        self._note(now)

    def _note(self, now: float) -> None:
        self._past.add(self.pacer.word(len(self._out)), now + self._ahead)

    def _peers(self) -> dict[str, Word]:
        return {host: peer.word for host, peer in self._far.items()}
