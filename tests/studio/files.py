"""Input files for the walks through Studio."""

import json
from typing import Any

from tests.api.calls import chat

# One pixel, to be looked at as a picture.
PICTURE = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def upload(data: bytes, name: str = "questions.jsonl") -> Any:
    """What a file input is given."""
    return {"name": name, "mimeType": "application/jsonl", "buffer": data}


def faulty() -> bytes:
    """Three lines: a good one, one that is cut off, and one with an id that is there already."""
    first, second = chat(2).splitlines()
    return b"\n".join([first, second[:-20], first]) + b"\n"


def pictured(url: str) -> bytes:
    """One request with a picture."""
    content = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]
    body = {"model": "demo-batch", "messages": [{"role": "user", "content": content}]}
    line = {"custom_id": "picture", "method": "POST", "url": "/v1/chat/completions", "body": body}
    return json.dumps(line).encode() + b"\n"
