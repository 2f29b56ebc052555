"""How deployments and engines get on at all servers of a ledger: each says it every two seconds, and hears what the others say.

It is written at a bounded rate: a row for each deployment that has something to say, when that is something else than before, and
one for the server itself. Nothing is decided by it; where it is lost, people see a little less for a while. Before: whoever
watches at each server. After: whoever watches at the others.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from slackwater.core.watching.cluster import MemberSays
from slackwater.core.watching.standings import EngineView, Says, SaysOfItself
from slackwater.pipeline.loops import Pace
from slackwater.ports import Clock, Standing, Together

# How often the others are read, and how often it is written.
STEP_SECONDS = 1.0
SAY_SECONDS = 2.0
# Who has not been heard of for so long says nothing: several times as long as it takes.
LIVES_SECONDS = 10.0


# Under this name, which no deployment has, stands what is said of engines that have nothing to do.
IDLE_ENGINES = " engines"


class Standings:
    """What all servers say."""

    def __init__(
        self,
        together: Together,
        clock: Clock,
        *,
        member: str,
        says: Callable[[], Mapping[str, Says]],
        itself: Callable[[], SaysOfItself],
        idle_engines: Callable[[], Sequence[EngineView]] = tuple,
    ) -> None:
        """`member` is the name of this server. `says`: what it says of each deployment that it has something to say of;
        `itself`: what it says that is about none; `idle_engines`, of the engines that have nothing to do.
        """
        self._idle_engines = idle_engines
        self._together = together
        self._clock = clock
        self._member = member
        self._says = says
        self._itself = itself
        self._said: dict[str, bytes] = {}
        self._said_at = float("-inf")
        self._others: dict[str, list[Says]] = {}
        self._others_engines: list[EngineView] = []
        self._others_idle: list[EngineView] = []
        self._heard: Mapping[str, MemberSays] = {}
        self._words = Words()
        self._encode = msgspec.json.Encoder().encode

    def of(self, deployment: str) -> Sequence[Says]:
        """What the others say of a deployment."""
        return self._others.get(deployment, ())

    def engines(self) -> Sequence[EngineView]:
        """What the others say of engines."""
        return self._others_engines

    def heard(self) -> Mapping[str, MemberSays]:
        """What the others say, by the name of the server; without those that have said nothing lately."""
        return self._heard

    def idle_engines(self) -> Sequence[EngineView]:
        """What the others say of engines to which they send, and for which they have nothing at the moment."""
        return self._others_idle

    async def step(self) -> Pace:
        """Says how it is here, if that is due, and reads what the others say."""
        now = self._clock.monotonic()
        if now - self._said_at >= SAY_SECONDS:
            await self._say()
            self._said_at = now
        self._hear(await self._together.standings(but=self._member, seconds=LIVES_SECONDS))
        return Pace.IDLE

    async def _say(self) -> None:
        says = {key: self._encode(each) for key, each in self._says().items()}
        if idle := list(self._idle_engines()):
            says[IDLE_ENGINES] = self._encode(SaysOfItself(engines=idle))
        news = {key: text for key, text in says.items() if self._said.get(key) != text}
        news |= {key: b"" for key in self._said if key not in says}
        # Always: it says that this server lives.
        await self._together.stand(self._member, news | {"": self._encode(self._itself())})
        self._said = says

    def _hear(self, standings: Sequence[Standing]) -> None:
        self._heard = self._words.meant(standings)
        others: dict[str, list[Says]] = {}
        for each in self._heard.values():
            for key, says in each.deployments.items():
                others.setdefault(key, []).append(says)
        self._others = others
        self._others_engines = [engine for each in self._heard.values() for engine in each.itself.engines]
        self._others_idle = [engine for each in self._heard.values() for engine in each.idle_engines]

    async def leave(self) -> None:
        """Says nothing any more."""
        await self._together.leave(self._member)


class Words:
    """What servers mean by what they say. It is read once, as long as they say the same."""

    def __init__(self) -> None:
        self._read: dict[bytes, Says | SaysOfItself | None] = {}
        self._decode = msgspec.json.Decoder(Says).decode
        self._decode_itself = msgspec.json.Decoder(SaysOfItself).decode

    def meant(self, standings: Sequence[Standing]) -> dict[str, MemberSays]:
        """By the name of the server."""
        read: dict[bytes, Says | SaysOfItself | None] = {}
        itself: dict[str, SaysOfItself] = {}
        idle: dict[str, list[EngineView]] = {}
        deployments: dict[str, dict[str, Says]] = {}
        for each in standings:
            said = read[each.facts] = self._read[each.facts] if each.facts in self._read else self._meant(each)
            if isinstance(said, Says):
                deployments.setdefault(each.member, {})[each.deployment] = said
            elif said is not None and each.deployment:
                idle[each.member] = said.engines
            elif said is not None:
                itself[each.member] = said
        self._read = read
        return {
            member: MemberSays(
                itself=itself.get(member, SaysOfItself()),
                idle_engines=idle.get(member, []),
                deployments=deployments.get(member, {}),
            )
            for member in sorted({*itself, *idle, *deployments})
        }

    def _meant(self, standing: Standing) -> Says | SaysOfItself | None:
        try:
            about_itself = standing.deployment in ("", IDLE_ENGINES)
            return self._decode_itself(standing.facts) if about_itself else self._decode(standing.facts)
        except msgspec.MsgspecError:
            # Another version says it in other words.
            return None
