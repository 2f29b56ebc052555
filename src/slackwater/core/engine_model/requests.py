"""A request as an engine knows it: lengths, the segments that its prompt is made of, and how far it is."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import Enum

Segment = tuple[Hashable, int]
"""A piece of a prompt: what it is, and how many tokens. Requests that begin with the same segments share them in the cache."""


class State(Enum):
    """Where a request is."""

    NEW = "new"
    WAITING = "waiting"
    PREFILLING = "prefilling"
    DECODING = "decoding"
    FINISHED = "finished"
    ABORTED = "aborted"
    LOST = "lost"


@dataclass(slots=True, eq=False, kw_only=True)
class EngineRequest:
    """One request. Whoever submits it sets the first five; the rest is the engine's, to be read only."""

    id: str
    prompt_tokens: int
    output_tokens: int
    """How many it will make: an engine does not know, its model does."""
    segments: tuple[Segment, ...] = ()
    """Pieces of the prompt in order, `prompt_tokens` in all; empty for one that is not to be cached. The last one goes on into
    what is generated."""
    priority: int = 0
    """As in vLLM: lower goes first."""

    state: State = State.NEW
    arrived_at: float = 0.0
    scheduled_at: float | None = None
    first_token_at: float | None = None
    finished_at: float | None = None
    cached_tokens: int = 0
    """Tokens of the prompt that were found in the cache when it was last admitted."""
    preemptions: int = 0

    # What follows is bookkeeping of the engine and its memory.
    order: int = 0
    target: int = 0
    """Tokens to prefill: the prompt, and after a preemption what was generated before it."""
    computed: int = 0
    """Tokens prefilled so far, cached ones included."""
    generated: int = 0
    """Tokens generated, as of the last time it stopped decoding; `EngineModel.generated` has it at any time."""
    zero_step: int = 0
    """While decoding, the step at which it would have had no token: generated = steps - zero_step."""
    counted_from: int = 0
    """While decoding, the step since which each step has added a token to its memory."""
    version: int = 0
    """Grows whenever it stops decoding, so that an earlier entry of the heap of ends is known to be void."""
    private_tokens: int = 0
    pinned: dict[Hashable, None] = field(default_factory=dict)
    published: int = 0
    """Segments, from the first on, that have been offered to others."""
