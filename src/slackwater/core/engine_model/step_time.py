"""How long one step of an engine takes, from what is in it.

A step multiplies every token in it by the weights (measured: a table), reads the keys and values of what is being decoded,
lets the tokens of prompts attend to those before them, and costs the processor something. The parts are summed.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTime:
    """The parts of a step's time, in seconds."""

    linear: tuple[float, ...]
    """Time in the linear layers, by the number of tokens in the step; entry 0 is no step."""
    per_context_token: float
    """For each token of context that a decoded sequence reads."""
    per_attention_pair: float
    """For each token of a prompt and each token before it."""
    per_step: float
    """What the engine's processor needs for a step, whatever is in it."""
    per_sequence: float
    """The same for each sequence in it."""

    def seconds(self, *, tokens: int, context: int, pairs: float, sequences: int) -> float:
        """Time of a step of `tokens` (decoded ones and those of prompts) in `sequences`.

        `context` is the sum of the contexts that are read for decoding; `pairs` the number of pairs of a token of a prompt
        and one before it.
        """
        return (
            self.linear[min(tokens, len(self.linear) - 1)]
            + self.per_context_token * context
            + self.per_attention_pair * pairs
            + self.per_step
            + self.per_sequence * sequences
        )


def table_between(tokens: Sequence[int], seconds: Sequence[float], *, last: int) -> tuple[float, ...]:
    """Times for 0 to `last` tokens from measured points in rising order, on straight lines between them.

    Past the last point time grows in proportion. A larger step is never quicker, though medians of measurements may be.
    """
    table = [0.0]
    for count in range(1, last + 1):
        if count >= tokens[-1]:
            time = seconds[-1] * count / tokens[-1]
        else:
            above = bisect_left(tokens, count)
            if above == 0 or tokens[above] == count:
                time = seconds[above]
            else:
                low, high = tokens[above - 1], tokens[above]
                share = (count - low) / (high - low)
                time = seconds[above - 1] + (seconds[above] - seconds[above - 1]) * share
        table.append(max(time, table[-1]))
    return tuple(table)
