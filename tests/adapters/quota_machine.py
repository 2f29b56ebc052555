"""What every Ledger promises of held tokens, played by chance: they are those of the batches that have not ended.

Every way in and every way out is tried, in any order, with crashes in between: a batch gives its tokens back once.
"""

import asyncio

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from slackwater.core.accounts.resource import DEFAULT
from slackwater.core.batch import TERMINAL, Batch, Policies, Status, WindowElapsed
from slackwater.ports import Ledger, NewShard, Shard
from tests.adapters.claiming import claim
from tests.adapters.ledger_contract import batch, segment

NAMES = ("red", "blue")
LONG = 10**9


class QuotaMachine(RuleBasedStateMachine):
    """Batches of two deployments are made, counted, refused, worked through, cancelled and expired; the service dies.

    Inherit, and define `open`.
    """

    def open(self) -> Ledger:
        """The ledger at one place: the second time, with everything in it."""
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.ledger = self.runner.run(self._opened())
        # What each batch holds for its deployment, as long as it holds anything.
        self.tokens: dict[str, int] = {}
        self.deployments: dict[str, str] = {}

    async def _opened(self) -> Ledger:
        return self.open()

    def teardown(self) -> None:
        """Closes the ledger and its loop."""
        self.runner.run(self.ledger.close())
        self.runner.close()

    @rule(tokens=st.integers(0, 1_000), name=st.sampled_from(NAMES), expires=st.booleans())
    def create(self, tokens: int, name: str, expires: bool) -> None:
        """A batch holds its estimate."""
        policies = Policies(window_elapsed=WindowElapsed.EXPIRE if expires else WindowElapsed.CONTINUE)
        new = batch(
            len(self.tokens),
            deployment=name,
            enqueued_tokens=tokens,
            policies=policies,
            expires_at=2_000,
            resource=DEFAULT,
        )
        self.runner.run(self.ledger.add_batch(new))
        self.tokens[new.id] = tokens
        self.deployments[new.id] = name

    @precondition(lambda self: self.tokens)
    @rule(data=st.data(), tokens=st.integers(0, 1_000), lines=st.integers(1, 3), shards=st.integers(1, 3))
    def count(self, data: st.DataObject, tokens: int, lines: int, shards: int) -> None:
        """Validation puts the count in the place of the estimate, where the batch still waits for it."""
        batch_id = self._any(data)
        cut = [NewShard(offset=10 * index, length=10, lines=lines, tokens=tokens) for index in range(shards)]
        accepted = self.runner.run(
            self.ledger.accept_batch(
                batch_id,
                deployment=self.deployments[batch_id],
                endpoint="/chat/completions",
                total=lines * shards,
                tokens=tokens,
                shards=cut,
            )
        )
        if accepted:
            self.tokens[batch_id] = tokens

    @precondition(lambda self: self.tokens)
    @rule(data=st.data())
    def refuse(self, data: st.DataObject) -> None:
        """Validation finds faults, perhaps twice, perhaps too late."""
        self.runner.run(self.ledger.reject_batch(self._any(data), errors=[], now=1_500))

    @precondition(lambda self: self.tokens)
    @rule(data=st.data())
    def start(self, data: st.DataObject) -> None:
        """A batch that was counted is let in."""
        self.runner.run(self.ledger.enqueue([self._any(data)], now=1_500))
        for waiting in self.runner.run(self.ledger.unranked()):
            self.runner.run(self.ledger.rank_shards(waiting.batch_id, [float(n) for n in range(waiting.shards)]))

    @rule()
    def lose(self) -> None:
        """Every lease is over, and what was in somebody's hands goes back, or stops with its batch."""
        self.runner.run(self.ledger.release_leases(now=2.0 * LONG))
        assert self.runner.run(self.ledger.release_leases(now=2.0 * LONG)) == 0

    @rule(name=st.sampled_from(NAMES), end=st.sampled_from(("finished", "given back", "kept")))
    def work(self, name: str, end: str) -> None:
        """A shard is done, given back, or kept until its lease is over."""
        shard: Shard | None = self.runner.run(claim(self.ledger, name, owner="w", now=0.0, seconds=float(LONG)))
        if shard is None:
            return
        if end == "kept":
            return
        if end == "given back":
            self.runner.run(self.ledger.release_shard(shard.batch_id, shard.index, epoch=shard.epoch))
            return
        results = segment(shard, *range(shard.lines))
        assert not self.runner.run(self.ledger.commit_segments([results], now=0.0, lease_seconds=1.0))
        assert self.runner.run(self.ledger.finish_shard(shard.batch_id, shard.index, epoch=shard.epoch))

    @precondition(lambda self: self.tokens)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """At any moment."""
        self.runner.run(self.ledger.request_cancel(self._any(data), now=1_600))

    @rule()
    def pass_the_window(self) -> None:
        """What expires begins to end."""
        self.runner.run(self.ledger.elapse_windows(now=2_001))

    @rule(twice=st.booleans())
    def end(self, twice: bool) -> None:
        """The next batch that is through is published; a late second attempt changes nothing."""
        ending = self.runner.run(self.ledger.begin_finalizing(now=2_100))
        for _ in range(1 + twice):
            if ending is not None:
                self.runner.run(self.ledger.publish_files(ending.id, output=None, error=None, now=2_100))

    @rule()
    def crash(self) -> None:
        """The service dies and comes back; leases of the dead go back."""
        self.runner.run(self.ledger.close())
        self.ledger = self.runner.run(self._opened())
        self.runner.run(self.ledger.release_leases(now=0.0, dead_owners_except=""))

    @invariant()
    def held_tokens_are_those_of_batches_that_have_not_ended(self) -> None:
        """By deployment, and by what the ledger itself shows of each batch."""
        held = dict.fromkeys(NAMES, 0)
        for batch_id, tokens in self.tokens.items():
            shown = self._shown(batch_id)
            assert shown.enqueued_tokens == tokens
            assert (shown.status in TERMINAL) == shown.terminal
            if not shown.terminal:
                held[self.deployments[batch_id]] += tokens
        assert {name: self.runner.run(self.ledger.enqueued_tokens(name)) for name in NAMES} == held

    @invariant()
    def what_is_counted_is_never_more(self) -> None:
        """Batches that are not validated yet are not among the counted ones."""
        for name in NAMES:
            waiting = [
                self.tokens[batch_id]
                for batch_id in self.tokens
                if self.deployments[batch_id] == name
                and self._shown(batch_id).status is Status.VALIDATING
                and not self._shown(batch_id).counts.total
            ]
            held = self.runner.run(self.ledger.enqueued_tokens(name))
            assert self.runner.run(self.ledger.counted_tokens(name)) == held - sum(waiting)

    def _any(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.tokens)))

    def _shown(self, batch_id: str) -> Batch:
        shown = self.runner.run(self.ledger.batch(batch_id))
        assert shown is not None
        return shown
