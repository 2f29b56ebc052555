"""What members ask of the engines that they share: core/sending/shared_slots.py, with the ledger's rows in memory.

A member that has what it wants renews its grant every three seconds and gets the same again. That is left out here: only what
changes something is asked.
"""

import math
from typing import TYPE_CHECKING

from benchmarks.scale.member import CALL_SECONDS, At, Engine

from slackwater.core.sending.shared_slots import Ask, Holding, granted

if TYPE_CHECKING:
    from benchmarks.scale.cluster import Cluster

ROUND_SECONDS = 1.0


class Parts:
    """Of all engines."""

    def __init__(self, cluster: "Cluster") -> None:
        self._cluster = cluster

    def round(self, engine: Engine, delay: float) -> None:
        moment = self._cluster.now + delay
        if engine.round_at is None or moment < engine.round_at:
            engine.round_at = moment
            self._cluster.at(moment, self._share, engine)

    def _share(self, engine: Engine) -> None:
        """Every member at the engine asks for what it could use: what renewals every three seconds come to."""
        if engine.round_at != self._cluster.now:
            return
        engine.round_at = None
        engine.short = False
        self._cluster.tally.rounds += 1
        # Who has too much says so first, as it does within a second.
        for at in sorted(engine.ats, key=lambda at: at.hungry):
            if at.member.sends:
                self._ask(at)
        if engine.short and any(at.got > max(at.part, at.out) for at in engine.ats):
            self.round(engine, ROUND_SECONDS)
        for at in engine.ats:
            if at.out < at.slots and at.turns:
                self._cluster.send(at)

    def _ask(self, at: At) -> None:
        engine, member = at.engine, at.member.name
        if not at.turns and not at.out:
            if at.got:
                del engine.holdings[member]
                at.got = at.slots = at.part = at.wanted = 0
            return
        at.wanted = engine.limit if at.turns else at.out
        at.hungry = False
        at.serial += 1
        ask = Ask(
            engine=engine.name,
            wanted=at.wanted,
            # What it may have out from now on: not more than it wants.
            held=max(min(at.slots, at.wanted), at.out),
            limit=engine.limit,
            serial=at.serial,
            longest=CALL_SECONDS,
            known=True,
        )
        grant = granted(ask, member=member, holdings=list(engine.holdings.values()), now=self._cluster.now)
        self._cluster.tally.asks += 1
        assert grant.heard
        engine.holdings[member] = Holding(
            member=member,
            wanted=at.wanted,
            slots=grant.slots,
            limit=engine.limit,
            until=math.inf,
            serial=at.serial,
            longest=CALL_SECONDS,
            known=True,
            alone=False,
            gone=False,
        )
        at.got, at.part = grant.slots, grant.part
        at.slots = min(grant.slots, grant.part)
        engine.short |= grant.slots < min(grant.part, at.wanted) or grant.part < at.wanted
