"""The texts in a line that a person would look for: of a request what was asked, of a result what was answered or went wrong.

Whatever a body has, its texts are found wherever they are nested; names of roles, ids, and data such as pictures are none.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

ASKED = ("instructions", "messages", "input", "prompt", "query", "documents")
ANSWERED = ("choices", "output", "error", "results")
NO_TEXT = frozenset(
    {
        *("role", "type", "id", "object", "model", "status", "index", "finish_reason", "call_id", "tool_call_id"),
        *("image_url", "url", "data", "file_data", "file_id", "b64_json", "embedding", "encrypted_content", "logprobs"),
    }
)
UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)


def id_and_texts_asked(line: bytes) -> tuple[str, list[str]]:
    """The id and the texts of a line of an input file. Nothing of one that is no request."""
    try:
        read = msgspec.json.decode(line)
        return str(read["custom_id"]), list(_some(read["body"], ASKED))
    except (*UNREADABLE, KeyError, TypeError):
        return "", []


def id_and_texts_answered(line: bytes) -> tuple[str, list[str]]:
    """The same of a line of an output file or an error file."""
    try:
        read = msgspec.json.decode(line)
        texts = list(_texts(read.get("error")))
        response = read.get("response")
        if response is not None:
            texts = [*_some(response["body"], ANSWERED), *texts]
        return str(read["custom_id"]), texts
    except (*UNREADABLE, KeyError, TypeError, AttributeError):
        return "", []


def _some(body: Any, names: tuple[str, ...]) -> Iterator[str]:
    known = [body[name] for name in names if name in body] if isinstance(body, dict) else []
    for each in known or [body]:
        yield from _texts(each)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, dict):
        for name, each in value.items():
            if name not in NO_TEXT:
                yield from _texts(each)
