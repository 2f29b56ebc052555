"""Who works with the ledger and what each of them holds, for whoever runs the service: read when somebody asks.

The ledger says who there is and what they hold, the standings what each says of itself. A server that has its ledger alone is the
only member.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from slackwater.core.members import UNTIL_SECONDS, Member
from slackwater.core.watching.cluster import (
    ClusterReading,
    Concern,
    DutyHeld,
    MemberSays,
    MemberView,
    ShardsHeld,
    concerns_of,
    member_views,
)
from slackwater.core.watching.scraping import shows
from slackwater.ports import Clock, MemberLedger

Held = TypeVar("Held", ShardsHeld, DutyHeld)


class ClusterWatch:
    """Looks at the members of a ledger."""

    def __init__(
        self,
        ledger: MemberLedger,
        clock: Clock,
        *,
        me: Member,
        says: Callable[[], MemberSays],
        deployments: Callable[[], Sequence[str]],
        others: Callable[[], Mapping[str, MemberSays]] | None = None,
    ) -> None:
        """`me` is this process, and `says` what it says; `others`: what the others say, where the ledger may have some.
        `deployments` are the keys of those that are served."""
        self._ledger = ledger
        self._clock = clock
        self._me = me
        self._started_at = clock.now()
        self._says = says
        self._deployments = deployments
        self._others = others
        self.shared = others is not None
        """Whether the ledger can have several members."""

    async def views(self) -> list[MemberView]:
        """All members, the oldest first; this process among them in any case. Raises what a read of the ledger raises."""
        reading = await self._ledger.cluster(now=self._clock.now())
        if all(each.id != self._me.id for each in reading.members):
            reading = self._with_me(reading)
        heard = {} if self._others is None else self._others()
        return member_views(reading, {**heard, self._me.id: self._says()}, here=self._me.id)

    def shows_ledger(self, scraped_since: float | None) -> bool:
        """Whether the metrics page of this process has what is the same for all members; the others then leave it out.

        `scraped_since`: since when somebody asks for it, as far as the others know.
        """
        said = {} if self._others is None else self._others()
        asked = [(each.itself.scraped_since, member) for member, each in said.items()]
        known = [(since, member) for since, member in asked if since is not None]
        pages = [member for member, each in said.items() if each.itself.has_page]
        return shows(scraped_since, self._me.id, known, pages)

    def concerns(self, views: Sequence[MemberView]) -> list[Concern]:
        """What is wrong with them together."""
        return concerns_of(views, deployments=self._deployments())

    def _with_me(self, reading: ClusterReading) -> ClusterReading:
        """What is nobody's is held here."""
        started_at = self._me.started_at or self._started_at
        me = msgspec.structs.replace(
            self._me,
            started_at=started_at,
            until=reading.now + UNTIL_SECONDS,
            sends_for=tuple(sorted(self._deployments())),
        )

        def mine(held: Sequence[Held]) -> list[Held]:
            return [msgspec.structs.replace(each, member=me.id) if not each.member else each for each in held]

        return msgspec.structs.replace(
            reading, members=[*reading.members, me], shards=mine(reading.shards), duties=mine(reading.duties)
        )
