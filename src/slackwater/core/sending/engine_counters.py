"""What an engine says of itself on its metrics page, and what happened between two looks at it.

Engines count from their start: a count that has become smaller means that it has started again, where the next look says so, too.
One page may be damaged.
"""

from msgspec import Struct


class Counters(Struct, frozen=True):
    """One look. What an engine does not say is None."""

    running: float
    """Requests that hold a slot, everybody's."""
    waiting: float = 0.0
    """Requests that wait for capacity, everybody's."""
    kv: float | None = None
    """The part of its cache that is in use, 0.0 to 1.0."""
    steps: float | None = None
    """Steps so far."""
    step_tokens: float | None = None
    """Tokens computed in them, of prompts and of answers."""
    generated: float | None = None
    """Tokens of answers so far."""
    token_seconds: float | None = None
    """Seconds between tokens of one answer, summed over all, so far; and how many such gaps there were."""
    token_gaps: float | None = None
    looked_up: float | None = None
    """Tokens of prompts that were looked for in its cache so far; and how many were found."""
    found: float | None = None
    kv_tokens: float | None = None
    """How many tokens fit into its cache."""
    block_tokens: int | None = None
    """Its cache keeps prompts in blocks of so many tokens."""
    prefixes: bool = True
    """Whether it keeps the beginnings of prompts for others that begin in the same way; False where it says that it does not."""

    @property
    def keeps_prefixes(self) -> bool:
        """Whether it does so, and says how much of a prompt it has found."""
        return self.prefixes and self.found is not None


class Between(Struct, frozen=True):
    """What happened between two looks, all of it everybody's."""

    seconds: float
    step: float | None
    """Seconds of a step on average; None where there was none."""
    prefilled: float
    """Tokens of prompts that were computed."""
    generated: float
    looked_up: float = 0.0
    """Tokens of prompts that were looked for in the cache, and how many were found."""
    found: float = 0.0


# No engine makes a step, or a token, in less; a page that says so is damaged. Seconds.
STEP_LEAST = 1e-5
REQUESTS_MAX = 1e6


def credible(counters: Counters) -> bool:
    """Whether an engine can be like that. A page that is damaged once must not be remembered by what is learned."""
    kv = counters.kv
    return counters.running + counters.waiting <= REQUESTS_MAX and (kv is None or kv <= 1.0 + 1e-6)


def unsaid(counters: Counters) -> list[str]:
    """What pacing would go by and the engine does not say, each with what that means, for people."""
    said = counters
    found = {
        "how long its steps take (no more than a few requests go)": said.steps is None and said.token_gaps is None,
        "how much its steps compute (what a prompt costs is guessed)": said.step_tokens is None,
        "how full its cache is (no room is left in it for others)": said.kv is None,
        "how large its cache is (others' long histories are not spared)": said.kv_tokens is None,
        "what it finds in its cache (long prompts go whole)": said.found is None and said.prefixes,
        "that it keeps prefixes (long prompts go whole)": not said.prefixes,
    }
    return [words for words, missing in found.items() if missing]


def restarted(before: Counters, after: Counters) -> bool:
    """Whether the engine has started again, if its page can be believed: its counts have."""
    return any(
        earlier is not None and later is not None and later < earlier
        for earlier, later in ((before.steps, after.steps), (before.generated, after.generated))
    )


def between(before: Counters, after: Counters, seconds: float) -> Between:
    """The difference of two looks that are so far apart. The step is the time between tokens where steps are not counted."""
    generated = _grown(before.generated, after.generated)
    computed = _grown(before.step_tokens, after.step_tokens)
    steps = _grown(before.steps, after.steps)
    step = None
    if steps:
        step = seconds / steps
    elif gaps := _grown(before.token_gaps, after.token_gaps):
        step = _grown(before.token_seconds, after.token_seconds) / gaps
    return Between(
        seconds,
        step if step is not None and step >= STEP_LEAST else None,
        max(0.0, computed - generated),
        generated,
        _grown(before.looked_up, after.looked_up),
        _grown(before.found, after.found),
    )


def _grown(before: float | None, after: float | None) -> float:
    return 0.0 if before is None or after is None else max(0.0, after - before)
