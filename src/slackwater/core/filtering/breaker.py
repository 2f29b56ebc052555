"""When to leave a content filter's classifier alone, and whom to send there first when that is over."""


class Breaker:
    """Says when a classifier may be called. Closed: freely. Open: not before a moment. Then one probe, which decides.

    Every time is a monotonic moment in seconds that the caller brings. `threshold` failures in a row open it, for
    `open_first` seconds, doubling up to `open_max` while probes fail. Retry-After opens it for that long, unless a
    call that was in flight succeeds before.
    """

    __slots__ = ("_failures", "_opened", "_probing", "_until", "open_first", "open_max", "threshold")

    def __init__(self, *, threshold: int = 10, open_first: float = 0.5, open_max: float = 30.0) -> None:
        self.threshold = threshold
        self.open_first = open_first
        self.open_max = open_max
        self._failures = 0
        self._opened = 0
        self._until = 0.0
        self._probing = False

    @property
    def closed(self) -> bool:
        """Whether calls may go out freely."""
        return self._until == 0.0

    @property
    def until(self) -> float:
        """Before when nobody may call; 0.0 while it is closed."""
        return self._until

    def wait(self, now: float) -> float | None:
        """Seconds until a call may go out: 0 for at once (the caller then holds the only probe), None while a probe runs."""
        if self._until == 0.0:
            return 0.0
        if now < self._until:
            return self._until - now
        if self._probing:
            return None
        self._probing = True
        return 0.0

    def ready(self, now: float) -> bool:
        """Whether `wait` would answer 0. Changes nothing."""
        return self._until == 0.0 or (now >= self._until and not self._probing)

    def abandon(self) -> None:
        """The caller that held the probe did not call after all; somebody else may."""
        self._probing = False

    def succeeded(self) -> None:
        """An answer came that does not speak against the backend."""
        if self._failures or self._until:
            self._failures = self._opened = 0
            self._until = 0.0
            self._probing = False

    def failed(self, now: float, *, at_once: bool = False) -> None:
        """A call failed in a way that speaks against the backend; `at_once` opens without waiting for more proof."""
        self._failures += 1
        was_probe, self._probing = self._probing, False
        if at_once or was_probe or self._failures >= self.threshold:
            if was_probe or self._until == 0.0:
                self._opened += 1
            self._until = max(self._until, now + min(self.open_max, self.open_first * 2.0 ** min(self._opened - 1, 30)))

    def pause(self, until: float) -> None:
        """The backend asked to be left alone until a moment."""
        self._probing = False
        self._until = max(self._until, until)
