"""Whether a request may be sent with `"stream": true`, how, and what is learnt of an engine that does not take it.

Some requests are streamed because the gaps between their chunks say how long a step of the engine takes. Nothing of that is to
be seen in results: what is not sure to come out the same is not streamed.
"""

from enum import Enum

import msgspec
from msgspec import Raw

from slackwater.core.sending.answer_kinds import CHAT, COMPLETIONS

# An engine that could not stream is not asked to for so long: it may have been replaced by then.
PLAIN_SECONDS = 3600.0
# A configuration says that nothing is ever streamed.
NEVER = "never"
AUTO = "auto"

STREAMED = frozenset({CHAT, COMPLETIONS})
# Fields with which an answer is another one when it is streamed, or is refused. vLLM: `prompt_logprobs` is refused, the
# transfer parameters are missing in chunks, beams and the best of several are not streamed; an echo comes in other pieces.
# OpenAI: audio has another format, and the sources of a search come apart.
NOT_STREAMED = (
    "audio",
    "best_of",
    "ec_transfer_params",
    "echo",
    "kv_transfer_params",
    "prompt_logprobs",
    "return_hidden_states",
    "stream_options",
    "use_beam_search",
    "web_search_options",
)
ABSENT = frozenset({b"null", b"false"})
OPTIONS = {
    False: Raw(b'{"include_usage":true}'),
    True: Raw(b'{"include_usage":true,"continuous_usage_stats":true}'),
}
CONTINUOUS = b"continuous_usage_stats"

_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode


def asks_to_stream(body: bytes, path: str, *, continuous: bool = True) -> bytes | None:
    """The body of a request, asking for a stream with the usage at its end; with `continuous`, in every chunk.

    Every other value keeps its bytes. None where the answer might not be the same.
    """
    if path not in STREAMED:
        return None
    try:
        fields = _fields(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if any(name in fields and bytes(fields[name]) not in ABSENT for name in ("stream", *NOT_STREAMED)):
        return None
    if (modalities := fields.get("modalities")) is not None and b"audio" in bytes(modalities):
        return None
    fields["stream"] = Raw(b"true")
    fields["stream_options"] = OPTIONS[continuous]
    return _encode(fields)


class Form(Enum):
    """How a request is sent."""

    PLAIN = "plain"
    STREAM = "stream"
    """With the usage at the end."""
    CONTINUOUS = "continuous"
    """With the usage in every chunk: a chunk may have several tokens."""


class Streaming:
    """What one backend has shown of streams. Moments are monotonic."""

    __slots__ = ("_continuous", "_plain_until")

    def __init__(self, *, never: bool = False) -> None:
        self._continuous = True
        self._plain_until = float("inf") if never else 0.0

    def form(self, now: float) -> Form:
        """How the next request that somebody wants to hear may be sent."""
        if now < self._plain_until:
            return Form.PLAIN
        return Form.CONTINUOUS if self._continuous else Form.STREAM

    def refused(self, said: bytes, now: float) -> None:
        """A streamed request was refused, and the same one without a stream was not. `said` is the body of the refusal."""
        if self._continuous and CONTINUOUS in said:
            self._continuous = False
        else:
            self._plain_until = max(self._plain_until, now + PLAIN_SECONDS)

    def broke(self, now: float) -> None:
        """A stream has ended by itself and was no whole answer."""
        self._plain_until = max(self._plain_until, now + PLAIN_SECONDS)
