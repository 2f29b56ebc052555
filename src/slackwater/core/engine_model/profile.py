"""What an engine is on: capacity and step time of one model on one kind of machine, read from a file of the documented form.

docs/sim-engine.md has the form. Every fault of a file is found at once, and each says what to do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slackwater.core.engine_model.step_time import StepTime, table_between
from slackwater.core.errors import ConfigError

# Anything larger is a slip of units.
TOKENS_MAX = 2**31
BLOCK_TOKENS = 16
WORDS = ("name", "about", "source", "licence")
CAPACITY = ("kv_tokens", "max_num_seqs", "max_num_batched_tokens")
SECONDS = ("per_step", "per_sequence", "per_context_token", "per_attention_pair")
LINEAR = ("tokens", "milliseconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One engine: a model on a machine, with the options that it was started with."""

    name: str
    about: str
    source: str
    licence: str
    kv_tokens: int
    """Tokens whose keys and values fit into its memory."""
    max_num_seqs: int
    """Most sequences in a step (vLLM's option of this name)."""
    max_num_batched_tokens: int
    """Most tokens in a step (vLLM's option of this name)."""
    step_time: StepTime
    block_tokens: int = BLOCK_TOKENS
    """Tokens of a block of the KV cache: only whole blocks of a prompt are found again."""


def profile_from(data: Mapping[str, Any]) -> Profile:
    """A profile from a parsed TOML or JSON file. Raises ConfigError with every fault."""
    reading = _Reading(data)
    name, about, source, licence = (reading.word(name) for name in WORDS)
    kv_tokens, max_num_seqs, max_num_batched_tokens = (reading.whole("capacity", name) for name in CAPACITY)
    per_step, per_sequence, per_context_token, per_attention_pair = (
        reading.number("seconds", name) for name in SECONDS
    )
    tokens, milliseconds = (reading.numbers("linear", name) for name in LINEAR)
    reading.strangers()
    reading.points(tokens, milliseconds)
    if not reading.faults and max_num_batched_tokens < max_num_seqs:
        reading.faults.append(
            "capacity.max_num_batched_tokens must not be below max_num_seqs: each decodes a token a step"
        )
    if reading.faults:
        raise ConfigError(reading.faults)
    counts, seconds = [int(count) for count in tokens], [time / 1e3 for time in milliseconds]
    return Profile(
        name=name,
        about=about,
        source=source,
        licence=licence,
        kv_tokens=kv_tokens,
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max_num_batched_tokens,
        step_time=StepTime(
            # With room for a model of a scheduler that decodes beside a full step of prompts.
            linear=table_between(counts, seconds, last=max_num_batched_tokens + max_num_seqs),
            per_context_token=per_context_token,
            per_attention_pair=per_attention_pair,
            per_step=per_step,
            per_sequence=per_sequence,
        ),
    )


class _Reading:
    """Takes values out of a file and remembers what is wrong with it."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data
        self.faults: list[str] = []

    def word(self, name: str) -> str:
        value = self._data.get(name)
        if not isinstance(value, str) or not value.strip():
            self.faults.append(f"{name} is missing: a text is expected")
            return ""
        return value

    def _in(self, table: str, name: str) -> Any:
        values = self._data.get(table)
        return values.get(name) if isinstance(values, Mapping) else None

    def whole(self, table: str, name: str) -> int:
        value = self._in(table, name)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= TOKENS_MAX:
            self.faults.append(f"{table}.{name} must be a whole number of 1 or more{_not(value)}")
            return 1
        return value

    def number(self, table: str, name: str) -> float:
        value = self._in(table, name)
        # A second for a token is a slip of units, and would look like a server that hangs.
        if not _is_number(value) or not 0 <= value < 1:
            self.faults.append(f"{table}.{name} must be a number of seconds, 0 or more and below 1{_not(value)}")
            return 0.0
        return float(value)

    def numbers(self, table: str, name: str) -> list[float]:
        values = self._in(table, name)
        if not isinstance(values, list) or not values or not all(_is_number(value) and value > 0 for value in values):
            self.faults.append(f"{table}.{name} must be an array of numbers above 0")
            return []
        return values

    def points(self, tokens: list[float], milliseconds: list[float]) -> None:
        if not tokens or not milliseconds:
            return
        if len(tokens) != len(milliseconds):
            said = f"{len(tokens)} and {len(milliseconds)}"
            self.faults.append(f"linear.tokens and linear.milliseconds must be of one length; they have {said} entries")
        rising = all(low < high for low, high in zip(tokens, tokens[1:], strict=False))
        if not rising or any(count != int(count) for count in tokens):
            self.faults.append("linear.tokens must be whole numbers that rise")

    def strangers(self) -> None:
        """A key that nobody knows is a slip of the pen: it would be silently without effect."""
        known = {"capacity": CAPACITY, "seconds": SECONDS, "linear": LINEAR}
        for name in self._data:
            if name not in WORDS and name not in known:
                self.faults.append(f"{name} is not known; there are {', '.join((*WORDS, *known))}")
        for table, names in known.items():
            values = self._data.get(table)
            for name in values if isinstance(values, Mapping) else ():
                if name not in names:
                    self.faults.append(f"{table}.{name} is not known; there are {', '.join(names)}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value


def _not(value: Any) -> str:
    return "; it is missing" if value is None else f", not {value!r:.40}"
