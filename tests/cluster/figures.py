"""What a failure of a cluster cost, over some rounds of it."""

import json
import os
import statistics

from msgspec import Struct


class Figures(Struct, kw_only=True):
    """What one kind of failure showed. Seconds."""

    kind: str
    n: int = 0
    claims: list[float] = []
    """From the failure to the next claim of one of its shards; where it is the database's, of any."""
    full: list[float] = []
    """From the failure to the full rate."""
    losses: list[tuple[float, set[str]]] = []
    """When it was, and what was in flight then, or answered in the last commit interval."""
    resent: list[int] = []
    allowed: list[int] = []
    excess: int = 0
    """Lines that were sent again, and were neither in flight nor answered in the last commit interval."""
    oldest: float = 0.0
    """How long before the failure the earliest answer came that was lost."""
    after: int = 0
    """Requests of one that was buried, after it woke up."""
    codes: list[int] = []
    buried: int = 0
    """Members that were buried and had not failed."""
    faults: list[str] = []

    def line(self) -> str:
        """The figures, and what is wrong with them."""
        shown: dict[str, object] = {"kind": self.kind, "n": self.n}
        for name, values in (("next_claim", self.claims), ("full_rate", self.full)):
            if values:
                shown[name] = {
                    "n": len(values),
                    "median": round(statistics.median(values), 3),
                    "worst": round(max(values), 3),
                }
        if self.resent:
            most = max(range(len(self.resent)), key=lambda each: self.resent[each])
            shown["resent"] = {
                "median": statistics.median(self.resent),
                "worst": self.resent[most],
                "limit_then": self.allowed[most],
                "beyond": self.excess,
                "oldest_answer": round(self.oldest, 2),
            }
        if self.codes:
            shown["exit_codes"] = sorted(set(self.codes))
            shown["sent_after_burial"] = self.after
        shown["others_buried"] = self.buried
        shown["load"] = round(os.getloadavg()[0], 1)
        if self.faults:
            shown["faults"] = self.faults[:5]
        return json.dumps(shown)
