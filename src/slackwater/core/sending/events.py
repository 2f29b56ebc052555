"""Server-sent events (the event stream of the HTML standard) out of bytes that come in arbitrary pieces.

Before: the HTTP client. After: assembling.py. Takes time in proportion to the bytes, however small the pieces are.
"""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# llama.cpp has sent errors in a field of this name, where others send data that says so.
ERROR = b"error"


class Events:
    """Reads a stream. `held` is how many bytes of an event are kept because its end has not come."""

    __slots__ = ("_after_cr", "_begun", "_data", "_failed", "_kept", "_rest")

    def __init__(self) -> None:
        self._rest = bytearray()
        self._data: list[bytes] = []
        self._kept = 0
        self._failed = self._after_cr = self._begun = False

    @property
    def held(self) -> int:
        """Bytes that wait for more."""
        return len(self._rest) + self._kept

    def feed(self, data: bytes) -> list[tuple[bytes, bool]]:
        """The events that are whole now: their data, and whether they say by their name that something went wrong."""
        rest = self._rest
        rest += data
        # What is there already has no end of a line, or it would not be there.
        searched = len(rest) - len(data)
        end = max(rest.rfind(b"\n", searched), rest.rfind(b"\r", searched)) + 1
        if not end:
            return []
        whole = bytes(rest[:end])
        del rest[:end]
        if not self._begun:
            self._begun = True
            whole = whole.removeprefix(BYTE_ORDER_MARK)
        if self._after_cr and whole[:1] == b"\n":
            # The second half of a line end that was cut in two.
            whole = whole[1:]
            self._after_cr = False
            if not whole:
                return []
        self._after_cr = whole.endswith(b"\r")
        if b"\r" in whole:
            whole = whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        events: list[tuple[bytes, bool]] = []
        lines = whole.split(b"\n")
        lines.pop()
        for line in lines:
            if line:
                self._line(line)
            elif self._data:
                events.append(self._event())
            else:
                self._failed = False
        return events

    def end(self) -> list[tuple[bytes, bool]]:
        """The stream is over. An event whose blank line is missing counts: there are servers that leave out the last one."""
        if self._rest:
            self._line(bytes(self._rest))
            self._rest.clear()
        return [self._event()] if self._data else []

    def _line(self, line: bytes) -> None:
        # A comment has an empty name: many servers keep a connection alive with one.
        name, _, value = line.partition(b":")
        if name == b"data" or name == ERROR:
            value = value.removeprefix(b" ")
            self._data.append(value)
            self._kept += len(value)
            self._failed = self._failed or name == ERROR
        elif name == b"event":
            self._failed = value.strip() == ERROR

    def _event(self) -> tuple[bytes, bool]:
        event = (b"\n".join(self._data), self._failed)
        self._data.clear()
        self._kept = 0
        self._failed = False
        return event
