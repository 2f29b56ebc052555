"""Log lines as JSON, one object a line, for whoever collects logs by machine. The text format is logging's own."""

import logging
from datetime import UTC, datetime
from typing import Any

import msgspec

from slackwater.core.masking import masked
from slackwater.telemetry.calls import current_call
from slackwater.telemetry.events import Fields

TEXT = "%(asctime)s %(levelname)s %(message)s"


def _plain(value: object) -> str:
    return str(value)


_encode = msgspec.json.Encoder(enc_hook=_plain).encode


class JsonFormatter(logging.Formatter):
    """`time` (UTC), `level`, `event`, and, where they are known, `fields`, `message`, `request_id`, `trace_id`, `error`.

    An event's own fields are an object of their own, so that none can take the place of what every line has.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")
        line: dict[str, Any] = {"time": moment.replace("+00:00", "Z"), "level": record.levelname.lower()}
        args = record.args
        if isinstance(args, tuple) and len(args) == 2 and isinstance(args[1], Fields):
            line["event"] = str(args[0])
            if args[1]:
                line["fields"] = args[1]
        else:
            line |= {"event": "log", "logger": record.name, "message": record.getMessage()}
        call = current_call()
        if call is not None:
            line["request_id"] = call.request_id
            if call.trace_id is not None:
                line["trace_id"] = call.trace_id
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return masked(_encode(line).decode())


class TextFormatter(logging.Formatter):
    """Lines for people: moment, level, and what happened."""

    def __init__(self) -> None:
        super().__init__(TEXT)

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        return masked(super().format(record))


def formatter_of(name: str) -> logging.Formatter:
    """The formatter called `text` or `json`."""
    return JsonFormatter() if name == "json" else TextFormatter()
