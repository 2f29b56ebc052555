"""Says what a start or an examination is at, where that takes longer than anybody waits without a word."""

import threading
from collections.abc import Callable
from types import TracebackType

from slackwater.telemetry import event

WORDLESS_SECONDS = 2.5


def tell_in_log(what: str) -> None:
    """The same in the log, while a server starts."""
    event("start_waits", what=what)


class Waiting:
    """One thing after the other; what takes long is told once, on a thread of its own. Leaving it is the end of the last one."""

    def __init__(self, tell: Callable[[str], None] = tell_in_log, *, seconds: float = WORDLESS_SECONDS) -> None:
        self._tell, self._seconds = tell, seconds
        self._timer: threading.Timer | None = None

    def at(self, what: str) -> None:
        """What is begun now; the one before is over."""
        self.over()
        self._timer = threading.Timer(self._seconds, self._tell, (what,))
        self._timer.daemon = True
        self._timer.start()

    def over(self) -> None:
        """Nothing is under way."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def __enter__(self) -> "Waiting":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over()
