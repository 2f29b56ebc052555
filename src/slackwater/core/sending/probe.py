"""A request of our own: the smallest that an endpoint answers. It tells a door that is shut from lines that are bad.

`/v1/models` does not tell: the process that answers it may live over an engine that is dead.
"""

import msgspec

# About the smallest that each endpoint takes. OpenAI's newer models know no `max_tokens`; they say so with 400, which also
# shows that the door is open and somebody behind it reads. For images and videos there is none: the smallest is dear, and lines
# find out in its place.
BODIES: dict[str, dict[str, object]] = {
    "/chat/completions": {"messages": [{"role": "user", "content": "ping"}], "max_tokens": 1},
    "/completions": {"prompt": "ping", "max_tokens": 1},
    "/embeddings": {"input": "ping"},
    "/responses": {"input": "ping", "max_output_tokens": 16},
    "/moderations": {"input": "ping"},
    "/messages": {"messages": [{"role": "user", "content": "ping"}], "max_tokens": 1},
    "/rerank": {"query": "ping", "documents": ["ping"]},
    "/score": {"text_1": "ping", "text_2": "ping"},
    "/audio/speech": {"input": "ping", "voice": "alloy"},
}

# About what the smallest of them counts for.
PROBE_TOKENS = 12.0


def probe_body(path: str, model: str | None) -> bytes | None:
    """The body of such a request; None for an endpoint of which we do not know what it takes, or without a model."""
    body = BODIES.get(path)
    if body is None or model is None:
        return None
    return msgspec.json.encode({"model": model} | body)
