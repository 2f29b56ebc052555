"""What goes into a step of an engine, in which order requests are admitted to one, and what comes of it."""

from dataclasses import dataclass, field
from enum import Enum

from slackwater.core.engine_model.requests import EngineRequest

Chunks = list[tuple[EngineRequest, int]]
"""Pieces of prompts that are computed in a step, by their tokens."""


def pairs_of(chunks: Chunks) -> float:
    """Pairs of a token of these pieces and one before it in its prompt."""
    return sum(tokens * (request.computed + tokens * 0.5) for request, tokens in chunks)


class Queueing(Enum):
    """In which order requests are admitted, and whether one of a better priority may push out another."""

    FCFS = "fcfs"
    """First come, first served: vLLM's default."""
    PRIORITY = "priority"
    """vLLM's `--scheduling-policy priority`: the queue is in order of priority, and the worst priority is pushed out where
    memory is short; but one that waits never displaces one that runs."""
    PREEMPT = "preempt"
    """After SGLang's priority scheduling: one that waits for a slot or for memory pushes out those of worse priority."""


@dataclass(slots=True)
class StepEnd:
    """What a step brought. Those in neither list that are decoding have got one token more."""

    seconds: float
    tokens: int
    first: list[EngineRequest] = field(default_factory=list)
    """Requests that got their first token in it."""
    finished: list[EngineRequest] = field(default_factory=list)
    """Requests that are done; one with a single token is in both lists."""


@dataclass(slots=True)
class Step:
    """A step that is going on."""

    seconds: float
    chunks: Chunks
    prefilled: int
    decoded: int
