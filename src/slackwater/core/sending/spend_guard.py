"""Holds requests back that would cost more than may be spent. What one costs is known when it is answered, and not before: the
next one is taken to cost what those before it did on average, and as long as none has been answered only a few are out.
"""

from collections.abc import Callable

from slackwater.core.accounts.usage import Usage

# So many are out at most before anybody knows what one costs.
FIRST = 4


class SpendGuard:
    """What has been spent, and how much may be. Amounts are those of `amount_of`."""

    def __init__(self, amount_max: int, amount_of: Callable[[Usage], int]) -> None:
        self.amount_max = amount_max
        self._amount_of = amount_of
        self._spent = self._answered = 0

    def begin(self, *, spent: int, answered: int) -> None:
        """What was spent and answered before."""
        self._spent, self._answered = spent, answered

    def heard(self, usage: Usage | None) -> None:
        """A request has been answered."""
        self._answered += 1
        if usage is not None:
            self._spent += self._amount_of(usage)

    def admits(self, out: int) -> bool:
        """Whether another may go while so many are out."""
        if not self._answered:
            return out < FIRST
        return self._spent + (out + 1) * self._spent / self._answered <= self.amount_max
