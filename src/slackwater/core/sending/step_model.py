"""How long an engine's step would be without us, learned from what its steps cost with more of us and with less.

A step costs a base, something for each request that is decoded, and something for each token of a prompt:
`step = base + each * running + token * prefilled`. These three are learned by least squares that forget. Without us fewer of
the others would run at once, because they would be through sooner: what they bring in a second stays, and is the same share of
a step, `(step - base - own) / step`. What is left of the step is its base, so

    alone = base / (1 - (step - base - own) / step) = step / (1 + own / base)
"""

from dataclasses import dataclass, field

# A look of so long ago counts half.
HALF_LIFE_SECONDS = 1800.0
# How much the first looks have to say against what is assumed before any.
PRIOR = 0.002
# What is assumed before any look: a step of which nine tenths are its base. It is not believed that it is less than a part of it:
# an engine reads its weights in each, and noise that goes with how many run looks like the contrary.
PRIOR_BASE, BASE_LEAST = 0.9, 0.3
# No step is taken to be shorter than this part of what they are.
SHORTEST = 0.25


@dataclass(slots=True)
class StepModel:
    """The model of one engine. All times are seconds."""

    base: float = 0.0
    each: float = 0.0
    token: float = 0.0
    # Weighted sums of products of (1, running, prefilled in a step), and of these with the step.
    _products: list[list[float]] = field(default_factory=lambda: [[0.0] * 3 for _ in range(3)])
    _right: list[float] = field(default_factory=lambda: [0.0] * 3)
    _weight: float = 0.0

    def learn(self, step: float, *, running: float, prefilled: float, seconds: float) -> None:
        """One look: over `seconds` a step took so long, with so many running and so many tokens of prompts in each."""
        keep = 0.5 ** (seconds / HALF_LIFE_SECONDS)
        values = (1.0, running, prefilled)
        # What is wrong by a tenth counts the same everywhere: the base shows where steps are short, and the long ones are many.
        # A page that is damaged once must not count for more than a few looks.
        mean = self._right[0] / self._weight if self._weight else step
        weight = seconds / max(step, SHORTEST * mean) ** 2
        self._weight = self._weight * keep + weight
        for row, value in enumerate(values):
            for column, other in enumerate(values):
                self._products[row][column] = self._products[row][column] * keep + weight * value * other
            self._right[row] = self._right[row] * keep + weight * value * step
        self._solve()

    def alone(self, step: float, *, own: float) -> float:
        """The step without us, while one with us takes `step`, of which what we have in it costs `own`."""
        return step / (1.0 + own / self.base) if self.base else step

    def _solve(self) -> None:
        """Least squares with what was assumed as a weak look, and no coefficient below zero."""
        mean = self._right[0] / self._weight
        columns = [0, 1, 2]
        while True:
            found = self._solved(columns, mean)
            wrong = [column for column in columns[1:] if found[column] < 0.0]
            if not wrong:
                break
            columns.remove(min(wrong, key=found.__getitem__))
        self.base, self.each, self.token = max(BASE_LEAST * mean, found[0]), found[1], found[2]

    def _solved(self, columns: list[int], mean: float) -> list[float]:
        size = len(columns)
        rows = [[self._products[row][column] for column in columns] + [self._right[row]] for row in columns]
        for place, column in enumerate(columns):
            pull = PRIOR * self._products[column][column] + 1e-12
            rows[place][place] += pull
            rows[place][size] += pull * (PRIOR_BASE * mean if column == 0 else 0.0)
        for pivot in range(size):
            for row in range(pivot + 1, size):
                factor = rows[row][pivot] / rows[pivot][pivot]
                for column in range(pivot, size + 1):
                    rows[row][column] -= factor * rows[pivot][column]
        found = [0.0, 0.0, 0.0]
        for pivot in range(size - 1, -1, -1):
            rest = sum(rows[pivot][place] * found[columns[place]] for place in range(pivot + 1, size))
            found[columns[pivot]] = (rows[pivot][size] - rest) / rows[pivot][pivot]
        return found
