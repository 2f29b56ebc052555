"""What every Ledger promises of accounts, played by chance: whatever workers do, the account is that of the lines."""

import asyncio

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from slackwater.core.accounts.cost import UsageEntry, charges, cost_of
from slackwater.core.accounts.price import Price
from slackwater.core.accounts.usage import Usage
from slackwater.ports import Ledger, Shard
from tests.adapters.claiming import claim
from tests.adapters.usage_contract import BEGIN, CHEAP, DAY, DEAR, END, EVERYTHING, accepted, results

tokens = st.integers(0, 1_000)
usages = st.builds(
    lambda fresh, cached, output: Usage(input_tokens=fresh + cached, cached_tokens=cached, output_tokens=output),
    tokens,
    tokens,
    tokens,
)


class UsageMachine(RuleBasedStateMachine):
    """Workers that commit, commit again, are written off and do not know it; the account is always that of the lines.

    Inherit, and define `open`.
    """

    def open(self) -> Ledger:
        """A new, empty ledger."""
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.ledger = self.runner.run(self._opened())
        self.now = 0.0
        self.prices: dict[str, Price | None] = {}
        self.leases: list[Shard] = []
        # What each line of each batch has used, and on which day; None where it failed.
        self.lines: dict[tuple[str, int], tuple[int, Usage | None]] = {}

    async def _opened(self) -> Ledger:
        return self.open()

    def teardown(self) -> None:
        """Closes the ledger and its loop."""
        self.runner.run(self.ledger.close())
        self.runner.close()

    @rule(
        lines=st.integers(1, 9), price=st.sampled_from((CHEAP, DEAR, None)), resource=st.sampled_from(("default", "r"))
    )
    def order(self, lines: int, price: Price | None, resource: str) -> None:
        """A new batch."""
        number = len(self.prices)
        batch_id = self.runner.run(accepted(self.ledger, number, lines=lines, price=price, resource=resource))
        self.prices[batch_id] = price

    @rule()
    def claim(self) -> None:
        """A worker leases the next shard."""
        shard = self.runner.run(claim(self.ledger, "d", owner="w", now=self.now, seconds=10))
        if shard is not None:
            self.leases.append(shard)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), failed=st.sets(st.integers(0, 8)))
    def commit(self, data: st.DataObject, failed: set[int]) -> None:
        """Results under any lease that there ever was: they count where the lease still does."""
        shard = data.draw(st.sampled_from(self.leases))
        left = [line for line in range(shard.lines) if (shard.batch_id, line) not in self.lines]
        if not left:
            return
        taken = data.draw(st.lists(st.sampled_from(left), unique=True, min_size=1))
        done = {line: None if line in failed else data.draw(usages) for line in taken}
        refused = self.runner.run(self.ledger.commit_segments([results(shard, done)], now=self.now, lease_seconds=10))
        if not refused:
            for line, usage in done.items():
                self.lines[shard.batch_id, line] = (int(self.now // DAY), usage)

    @precondition(lambda self: self.lines)
    @rule(data=st.data())
    def commit_again(self, data: st.DataObject) -> None:
        """What is journaled already, with something new beside it: the whole commit leaves no trace."""
        batch_id, line = data.draw(st.sampled_from(sorted(self.lines)))
        shard = next(lease for lease in reversed(self.leases) if lease.batch_id == batch_id)
        again = results(shard, {line: Usage(input_tokens=5)})
        other = [
            results(lease, {number: Usage(input_tokens=7)})
            for lease in self.leases[-1:]
            for number in range(lease.lines)
            if lease.batch_id != batch_id and (lease.batch_id, number) not in self.lines
        ]
        try:
            refused = self.runner.run(self.ledger.commit_segments([*other[:1], again], now=self.now, lease_seconds=10))
        except AssertionError:
            return
        # The lease is over: this one was refused, and the other one counts for itself.
        assert (batch_id, 0) in {each[:2] for each in refused}
        if other and (other[0].batch_id, 0) not in {each[:2] for each in refused}:
            number = next(
                number for number in range(8 * len(other[0].done)) if other[0].done[number >> 3] >> (number & 7) & 1
            )
            self.lines[other[0].batch_id, number] = (int(self.now // DAY), Usage(input_tokens=7))

    @rule(seconds=st.sampled_from((1.0, 20.0, float(DAY))))
    def pass_time(self, seconds: float) -> None:
        """Leases run out, days go by, and the shards of the dead go back."""
        self.now += seconds
        self.runner.run(self.ledger.release_leases(now=self.now))

    @precondition(lambda self: self.prices)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """A cancelled batch keeps what was completed, and is charged for it."""
        batch_id = data.draw(st.sampled_from(sorted(self.prices)))
        self.runner.run(self.ledger.request_cancel(batch_id, now=int(self.now)))
        ending = self.runner.run(self.ledger.begin_finalizing(now=int(self.now)))
        if ending is not None:
            self.runner.run(self.ledger.publish_files(ending.id, output=None, error=None, now=int(self.now)))

    @invariant()
    def the_account_is_that_of_the_lines(self) -> None:
        """Requests, tokens and money, by day and by batch."""
        entries = self._entries()
        by_day: dict[int, Usage] = {}
        requests = 0
        cost: dict[str, int] = {}
        for (batch_id, _), (day, usage) in self.lines.items():
            if usage is None:
                continue
            requests += 1
            by_day[day] = by_day.get(day, Usage()) + usage
            price = self.prices[batch_id]
            if price is not None:
                cost[price.currency] = cost.get(price.currency, 0) + cost_of(usage, price)
        assert sum(entry.requests for entry in entries) == requests
        found: dict[int, Usage] = {}
        for entry in entries:
            assert entry.day is not None
            found[entry.day] = found.get(entry.day, Usage()) + entry.usage
        assert found == by_day
        whole = charges(UsageEntry(price=each.price, requests=each.requests, usage=each.usage) for each in entries)
        assert {each.currency: each.amount for each in whole if each.currency} == cost
        for batch_id, price in self.prices.items():
            now = self.runner.run(self.ledger.batch(batch_id))
            assert now is not None
            mine = [usage for (owner, _), (_, usage) in self.lines.items() if owner == batch_id and usage is not None]
            assert now.usage == sum(mine, Usage())
            assert now.price == price

    def _entries(self) -> list[UsageEntry]:
        return self.runner.run(
            self.ledger.usage(resource=None, first_day=BEGIN, last_day=END, by=EVERYTHING, limit=10_000)
        )
