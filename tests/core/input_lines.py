"""Input files for tests of validation: valid lines, but for what a test is about, and the verdict on a file of them."""

import io
import json

from slackwater.core.batch import BatchError
from slackwater.core.input.line_judge import Rules
from slackwater.core.input.validation import InputChecker, Verdict
from slackwater.core.sending.deployment import Capabilities

DEPLOYMENT = "REPLACE-WITH-MODEL-DEPLOYMENT-NAME"
DEPLOYMENTS = {DEPLOYMENT: Capabilities()}


def check(data: bytes, *, family: str = "azure", endpoint: str = "/chat/completions", **more: object) -> Verdict:
    """The verdict on a file."""
    rules = {"deployments": DEPLOYMENTS, "family": family, "endpoint": endpoint} | more
    checker = InputChecker(Rules(**rules))  # type: ignore[arg-type]
    for text in io.BytesIO(data):
        checker.feed(text)
    return checker.finish()


def line(**changes: object) -> bytes:
    """A valid request line, but for what is changed; None removes a key."""
    body = {"model": DEPLOYMENT, "messages": [{"role": "user", "content": "Hello"}]}
    whole = {"custom_id": "a", "method": "POST", "url": "/chat/completions", "body": body} | changes
    return json.dumps({key: value for key, value in whole.items() if value is not None}).encode() + b"\n"


def body(**changes: object) -> dict[str, object]:
    """A valid body of chat, but for what is changed; None removes a key."""
    whole = {"model": DEPLOYMENT, "messages": [{"role": "user", "content": "Hello"}]} | changes
    return {key: value for key, value in whole.items() if value is not None}


def faults(data: bytes, **more: object) -> list[tuple[str, str | None, int | None]]:
    """Code, parameter and line of every fault of a file."""
    return [(error.code, error.param, error.line) for error in check(data, **more).errors]  # type: ignore[arg-type]


def only_fault(data: bytes, **more: object) -> BatchError:
    """The one fault of a file."""
    (error,) = check(data, **more).errors  # type: ignore[arg-type]
    return error
