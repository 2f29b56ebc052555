"""How deployments and engines get on at all servers of a ledger: each says it every two seconds, and hears what the others say.

It is written at a bounded rate: a row for each deployment that has something to say, when that is something else than before, and
one for the server itself. Nothing is decided by it; where it is lost, people see a little less for a while. Before: whoever
watches at each server. After: whoever watches at the others.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec import Struct

from slackwater.core.watching.standings import EngineView, Says
from slackwater.pipeline.loops import Pace
from slackwater.ports import Clock, Standing, Together

# How often the others are read, and how often it is written.
STEP_SECONDS = 1.0
SAY_SECONDS = 2.0
# Who has not been heard of for so long says nothing: several times as long as it takes.
LIVES_SECONDS = 10.0


# Under this name, which no deployment has, stands what is said of engines that have nothing to do.
IDLE_ENGINES = " engines"


class SaysOfItself(Struct, frozen=True, omit_defaults=True):
    """What a server says that is not about one deployment."""

    engines: list[EngineView] = []
    """Those to which something goes that it has in hand."""


class Standings:
    """What all servers say."""

    def __init__(
        self,
        together: Together,
        clock: Clock,
        *,
        member: str,
        says: Callable[[], Mapping[str, Says]],
        engines: Callable[[], Sequence[EngineView]],
        idle_engines: Callable[[], Sequence[EngineView]] = tuple,
    ) -> None:
        """`member` is the name of this server. `says`: what it says of each deployment that it has something to say of;
        `engines`, of those to which something goes that it has in hand; `idle_engines`, of the others.
        """
        self._idle_engines = idle_engines
        self._together = together
        self._clock = clock
        self._member = member
        self._says = says
        self._engines = engines
        self._said: dict[str, bytes] = {}
        self._said_at = float("-inf")
        self._others: dict[str, list[Says]] = {}
        self._others_engines: list[EngineView] = []
        self._others_idle: list[EngineView] = []
        self._read: dict[bytes, Says | SaysOfItself | None] = {}
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(Says).decode
        self._decode_itself = msgspec.json.Decoder(SaysOfItself).decode

    def of(self, deployment: str) -> Sequence[Says]:
        """What the others say of a deployment."""
        return self._others.get(deployment, ())

    def engines(self) -> Sequence[EngineView]:
        """What the others say of engines."""
        return self._others_engines

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
            says[IDLE_ENGINES] = self._encode(SaysOfItself(idle))
        news = {key: text for key, text in says.items() if self._said.get(key) != text}
        news |= {key: b"" for key in self._said if key not in says}
        # Always: it says that this server lives.
        await self._together.stand(self._member, news | {"": self._encode(SaysOfItself(list(self._engines())))})
        self._said = says

    def _hear(self, standings: Sequence[Standing]) -> None:
        read: dict[bytes, Says | SaysOfItself | None] = {}
        others: dict[str, list[Says]] = {}
        engines: list[EngineView] = []
        idle: list[EngineView] = []
        for each in standings:
            said = read[each.facts] = self._read[each.facts] if each.facts in self._read else self._meant(each)
            if isinstance(said, Says):
                others.setdefault(each.deployment, []).append(said)
            elif said is not None and each.deployment:
                idle += said.engines
            elif said is not None:
                engines += said.engines
        self._read, self._others, self._others_engines, self._others_idle = read, others, engines, idle

    def _meant(self, standing: Standing) -> Says | SaysOfItself | None:
        try:
            about_itself = standing.deployment in ("", IDLE_ENGINES)
            return self._decode_itself(standing.facts) if about_itself else self._decode(standing.facts)
        except msgspec.MsgspecError:
            # Another version says it in other words.
            return None

    async def leave(self) -> None:
        """Says nothing any more."""
        await self._together.leave(self._member)
