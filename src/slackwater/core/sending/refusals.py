"""How often one door has said the same "no" in a row, for whoever does not want to wait for it to change its mind.

A server waits: a batch does not end because a key is wrong (judgement.py). A person in front of `slackwater run` would rather
correct the command; how many they are to see first is decided there.
"""

from slackwater.core.sending.evidence import Evidence, Kind


class Refusals:
    """Refusals of one door with one status: of lines and of requests of our own. Moments are monotonic."""

    __slots__ = ("_count", "_last", "_said")

    def __init__(self) -> None:
        self._said: Evidence | None = None
        self._count = 0
        self._last = 0.0

    def heard(self, evidence: Evidence, *, succeeded: float, now: float) -> None:
        """A call has ended without success. `succeeded` is when one last did, through the same door."""
        if evidence.kind is Kind.OWN:
            # It let the request in, and found fault with it.
            self._said, self._count = None, 0
            return
        if not (evidence.kind in (Kind.REFUSED, Kind.BLOCKED) or unreadable(evidence)):
            # Busy or broken: that neither lets anybody in nor sends them away.
            return
        said = self._said
        alike = said is not None and (said.kind, said.status) == (evidence.kind, evidence.status)
        self._count = self._count + 1 if alike and succeeded < self._last else 1
        self._said, self._last = evidence, now

    def in_a_row(self, *, succeeded: float) -> tuple[Evidence, int] | None:
        """The last of them, and how many there were since anything else; None where there are none."""
        return None if self._said is None or succeeded >= self._last else (self._said, self._count)


def unreadable(evidence: Evidence) -> bool:
    """Whether it is about an answer that came with a good status and is none: a page, a stream, nothing."""
    return evidence.kind is Kind.TROUBLE and evidence.status is not None and 200 <= evidence.status < 300
