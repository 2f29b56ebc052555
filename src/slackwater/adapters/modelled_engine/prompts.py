"""Requests of OpenAI's API as an engine sees them: how many tokens, and which prefix they share with others.

There is no tokenizer: four bytes of text are a token, about what English is, and tokens that are given as numbers are
themselves. Prompts are cut into blocks of 16 tokens; a block is known by its bytes and by all before it, as in vLLM.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec

from slackwater.core.engine_model import Segment

TOKEN_BYTES = 4
NUMBER_BYTES = 4
CHOICES_MAX, TOKENS_MAX, PRIORITY_MAX = 128, 2**31, 2**63


class Refused(Exception):
    """A request that an engine answers with 400: a sentence, and the parameter that is wrong."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a call asks for."""

    model: str
    prompts: tuple[bytes, ...]
    """Several for completions with a list; each token has TOKEN_BYTES."""
    choices: int
    """For each prompt."""
    max_tokens: int | None
    priority: int
    stream: bool
    usage_at_end: bool
    usage_always: bool
    salt: bytes


def asked_of(body: bytes, *, chat: bool) -> Asked:
    """Reads the body of a call. Raises Refused."""
    try:
        request = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Refused("The body is not valid JSON.") from error
    if not isinstance(request, dict):
        raise Refused("The body must be a JSON object.")
    model = request.get("model") or ""
    if not isinstance(model, str):
        raise Refused("'model' must be a string.", "model")
    options = request.get("stream_options") or {}
    if not isinstance(options, dict):
        raise Refused("'stream_options' must be an object.", "stream_options")
    salt = request.get("cache_salt") or ""
    if not isinstance(salt, str):
        raise Refused("'cache_salt' must be a string.", "cache_salt")
    longest = "max_completion_tokens" if chat and request.get("max_completion_tokens") is not None else "max_tokens"
    choices = _whole(request, "n", 1, CHOICES_MAX)
    priority = _whole(request, "priority", -PRIORITY_MAX, PRIORITY_MAX)
    return Asked(
        model=model,
        prompts=(_chat(request),) if chat else _prompts(request.get("prompt")),
        choices=1 if choices is None else choices,
        max_tokens=_whole(request, longest, 1, TOKENS_MAX),
        priority=0 if priority is None else priority,
        stream=bool(request.get("stream")),
        usage_at_end=bool(options.get("include_usage")),
        usage_always=bool(options.get("continuous_usage_stats")),
        salt=salt.encode(),
    )


def _whole(request: dict[str, Any], name: str, least: int, most: int) -> int | None:
    value = request.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Refused(f"'{name}' must be a whole number from {least} to {most}, not {value!r:.40}.", name)
    return value


def _chat(request: dict[str, Any]) -> bytes:
    """The prompt that a chat template makes: tools, then each message with its role, then the role of who answers."""
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(message, dict) for message in messages):
        raise Refused("'messages' must be an array of objects with at least one.", "messages")
    parts = [msgspec.json.encode(request["tools"])] if request.get("tools") else []
    for message in messages:
        content = message.get("content")
        text = content.encode() if isinstance(content, str) else msgspec.json.encode(content) if content else b""
        calls = msgspec.json.encode(message["tool_calls"]) if message.get("tool_calls") else b""
        parts += [b"<|", str(message.get("role")).encode(), b"|>\n", text, calls, b"\n"]
    return b"".join([*parts, b"<|assistant|>\n"])


def _prompts(prompt: Any) -> tuple[bytes, ...]:
    given = prompt if isinstance(prompt, list) and prompt and not _is_tokens(prompt) else [prompt]
    return tuple(map(_prompt, given))


def _prompt(prompt: Any) -> bytes:
    if isinstance(prompt, str) and prompt:
        return prompt.encode()
    if _is_tokens(prompt):
        return b"".join((token & 0xFFFFFFFF).to_bytes(NUMBER_BYTES, "little") for token in prompt)
    raise Refused("'prompt' must be a text or an array of tokens that is not empty, or an array of such.", "prompt")


def _is_tokens(prompt: Any) -> bool:
    return isinstance(prompt, list) and bool(prompt) and all(type(token) is int for token in prompt)


def tokens_of(prompt: bytes) -> int:
    """How many tokens a prompt is."""
    return max(1, -(-len(prompt) // TOKEN_BYTES))


def segments_of(prompt: bytes, *, block_tokens: int, salt: bytes, unique: Hashable) -> tuple[Segment, ...]:
    """Its whole blocks, each known by the chain of all up to it, and what is left, which `unique` names and nobody shares.

    At least one token is always left, as an engine has to compute something to answer: so a prompt of whole blocks that is
    sent again computes its last block again, as in vLLM.
    """
    size = block_tokens * TOKEN_BYTES
    chain = blake2b(salt, digest_size=16).digest()
    segments: list[Segment] = []
    whole = (len(prompt) - 1) // size
    for begin in range(0, whole * size, size):
        chain = blake2b(chain + prompt[begin : begin + size], digest_size=16).digest()
        segments.append((chain, block_tokens))
    return (*segments, (unique, tokens_of(prompt) - whole * block_tokens))


def draw(choices: Sequence[int], *, seed: int, prompt: bytes, index: int) -> int:
    """One of the choices, always the same for one seed, prompt and index."""
    digest = blake2b(prompt + b"%d %d" % (seed, index), digest_size=8).digest()
    return choices[int.from_bytes(digest, "little") % len(choices)]
