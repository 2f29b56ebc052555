"""The memory budget under any order of beginnings, pieces, ends and cancels."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from slackwater.core.sending.budget import PATIENCE_SECONDS, Budget, Held, Share

SMALL = 10


class Answer:
    """One answer as its reader sees it: it grows until its own length, and stops when it is told to."""

    def __init__(self, budget: Budget, length: int) -> None:
        self.left = length
        self.stopped = False
        self.share: Share = budget.share(self.wake)
        self.held: Held | None = None

    def wake(self) -> None:
        assert self.stopped, "who was not stopped is not woken"
        self.stopped = False

    def read(self, length: int) -> None:
        length = min(length, self.left)
        self.left -= length
        self.stopped = not self.share.grow(length)


class BudgetMachine(RuleBasedStateMachine):
    """Answers come, grow, end, wait for their commit and are cancelled in any order; small things come and go beside them."""

    @initialize(bytes_max=st.integers(1, 1000), answer_max=st.integers(1, 500))
    def begin(self, bytes_max: int, answer_max: int) -> None:
        self.budget = Budget(bytes_max, answer_bytes_max=answer_max, small_bytes=SMALL)
        self.answer_max = answer_max
        self.reading: list[Answer] = []
        self.whole: list[Answer] = []
        self.counted: list[int] = []
        self.now = 0.0
        self.slack = 0

    def going(self) -> list[Answer]:
        return [answer for answer in self.reading if not answer.stopped]

    @rule(share=st.floats(0, 1))
    def comes(self, share: float) -> None:
        self.reading.append(Answer(self.budget, max(1, int(share * self.answer_max))))
        # What each may read at once before it is asked, on its way in or when it was woken.
        self.slack += 2 * SMALL

    @precondition(lambda self: self.going())
    @rule(data=st.data(), length=st.integers(1, SMALL))
    def reads(self, data: st.DataObject, length: int) -> None:
        answer = data.draw(st.sampled_from(self.going()))
        answer.read(length)
        if not answer.left:
            self.end(answer)

    def end(self, answer: Answer) -> None:
        self.reading.remove(answer)
        answer.stopped = False
        answer.share.seal()
        answer.held = answer.share.hold()
        self.whole.append(answer)

    @precondition(lambda self: self.reading)
    @rule(data=st.data())
    def is_cancelled(self, data: st.DataObject) -> None:
        answer = data.draw(st.sampled_from(self.reading))
        self.reading.remove(answer)
        answer.share.close()
        answer.share.close()

    @precondition(lambda self: self.whole)
    @rule(data=st.data(), dropped=st.booleans())
    def is_committed(self, data: st.DataObject, dropped: bool) -> None:
        answer = data.draw(st.sampled_from(self.whole))
        self.whole.remove(answer)
        assert answer.held is not None
        if not dropped:
            answer.held.release()
        answer.held = None

    @rule(length=st.integers(0, 50))
    def is_counted(self, length: int) -> None:
        self.counted.append(length)
        self.budget.take(length)

    @precondition(lambda self: self.counted)
    @rule()
    def is_given_back(self) -> None:
        self.budget.give_back(self.counted.pop())

    @rule(seconds=st.sampled_from([0.0, 1.0, PATIENCE_SECONDS]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.budget.look(self.now)

    @invariant()
    def everything_is_counted(self) -> None:
        if hasattr(self, "budget"):
            large = sum(answer.share.held for answer in self.reading + self.whole)
            assert self.budget.held == large + sum(self.counted)

    @invariant()
    def never_over_by_more_than_an_answer(self) -> None:
        if hasattr(self, "budget"):
            over = self.budget.held - sum(self.counted) - self.budget.bytes_max
            assert over <= self.answer_max + self.slack

    @invariant()
    def somebody_may_go_on(self) -> None:
        """One reads, or one that is whole waits for its commit, which needs nobody."""
        if hasattr(self, "budget") and self.reading:
            assert self.going() or self.whole

    def teardown(self) -> None:
        """Left alone, every answer ends, and everything is given back."""
        if not hasattr(self, "budget"):
            return
        while self.reading or self.whole:
            for answer in self.going():
                while answer.left and not answer.stopped:
                    answer.read(SMALL)
                if not answer.left:
                    self.end(answer)
            while self.whole:
                held = self.whole.pop().held
                assert held is not None
                held.release()
        self.budget.give_back(sum(self.counted))
        assert self.budget.held == 0
        assert self.budget.waiting == 0


TestBudget = BudgetMachine.TestCase


def grown(budget: Budget, *lengths: int) -> list[tuple[Share, list[str]]]:
    """Shares that have asked once each, and what was said to them."""
    shares = []
    for length in lengths:
        said: list[str] = []
        share = budget.share(lambda said=said: said.append("woken"))  # type: ignore[misc]
        said.append("on" if share.grow(length) else "stop")
        shares.append((share, said))
    return shares


def test_a_full_budget_goes_to_one_at_a_time_the_oldest_first() -> None:
    """Beside the shared part one has the seat; the others wait, and each gets it when the one before is on disk."""
    budget = Budget(200, answer_bytes_max=100, small_bytes=1)
    (first, said1), (second, _), (_, said3), (_, said4) = grown(budget, 90, 20, 100, 5)
    assert second.grow(50)
    assert not first.grow(1)
    assert (said3, said4) == (["stop"], ["stop"])
    second.seal()
    held = second.hold()
    # Whole, and still there: the room is not free yet.
    assert said1 == ["on"]
    held.release()
    assert (said1, said3, said4) == (["on", "woken"], ["stop"], ["stop"])
    first.close()
    # The next in turn has the seat, and the last fits beside it.
    assert (said3, said4) == (["stop", "woken"], ["stop", "woken"])


def test_one_that_only_drips_makes_room_for_another() -> None:
    """The seat is passed on after a while without a byte, if what lies there fits into the budget."""
    budget = Budget(200, answer_bytes_max=100, small_bytes=1)
    _, (slow, _), (_, said) = grown(budget, 60, 50, 45)
    assert said == ["stop"]
    budget.look(0.0)
    budget.look(PATIENCE_SECONDS - 1)
    assert slow.grow(1)
    budget.look(PATIENCE_SECONDS)
    assert said == ["stop"]
    budget.look(2 * PATIENCE_SECONDS)
    assert said == ["stop", "woken"]


def test_what_nobody_holds_any_more_is_given_back() -> None:
    """An answer that is dropped on its way, by whatever error, does not take room for ever."""
    budget = Budget()
    share = budget.share(lambda: None)
    share.grow(1 << 20)
    share.seal()
    held = share.hold()
    assert (budget.held, held.bytes) == (1 << 20, 1 << 20)
    del held
    assert (budget.held, budget.most) == (0, 1 << 20)
    with pytest.raises(AssertionError):
        share.grow(1)
