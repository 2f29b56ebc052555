"""The bytes that the ledgers of earlier schemas name, and the key of whoever administers them."""

import json

from tests.api.calls import chat

ADMIN_KEY = "not-a-secret-but-long-enough-to-be-a-key-0123456789"
INPUT = chat(4)


def answered(number: int) -> bytes:
    """A line of an output file, as it was recorded at that time."""
    message = {"role": "assistant", "content": f"recorded answer {number}"}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "model": "echo"}
    line = {"custom_id": f"task-{number}", "response": {"status_code": 200, "body": body}, "error": None}
    return json.dumps(line).encode() + b"\n"


ANSWERED = answered(0)
OUTPUT = b"".join(answered(number) for number in range(4))
BLOBS = {
    "files/file-in": INPUT,
    "results/batch_done/file-out": OUTPUT,
    "results/batch_done/file-err": b"",
    "uploads/part_one": INPUT,
    "logs/batch_open/dead-0-0.output": ANSWERED + b'{"custom_id": "task-1", "half a li',
}
