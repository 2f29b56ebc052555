"""Works with the ledger beside others: buries those who are dead, so that others go on with what they had in hand.

Which ones those are is decided by core/members.py, from what this member's presence sees. A burial has two steps: nothing that
the dead one writes counts any more, and then what it had is free. Dying between the two is harmless: the next one who watches
finds a member that is dead and not buried. Before: everything that a member does. After: whoever takes up what was freed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from slackwater.core.errors import StorageTrouble
from slackwater.core.members import Look, Seen, Turn, Watch
from slackwater.pipeline.loops import Hint, Pace
from slackwater.ports import MemberLedger, Presence
from slackwater.telemetry import event

# A start waits so long at most for the word whether those before it are dead.
SETTLED_SECONDS = 3.0
# So long for the word whether a process lives or has ended.
KNOWN_SECONDS = 1.0


class Membership:
    """This member, and its watch over the others."""

    def __init__(
        self,
        ledger: MemberLedger,
        presence: Presence,
        *,
        news: Callable[[], None],
        alive: Callable[[str], Awaitable[bool | None]] | None = None,
    ) -> None:
        """`news`: somebody was buried, by whomever, and what it had is free.

        `alive` says whether the process of a member is known to live (True) or to have ended (False); it may wait for a file
        system.
        """
        self._ledger = ledger
        self._presence = presence
        self._news = news
        self._alive = alive
        self._watch = Watch()
        self._look: Look | None = None
        self._dead: dict[str, Seen] = {}
        self._doubted: set[str] = set()
        self._gone: set[str] = set()
        self._looks = Hint()
        self._said: tuple[str, ...] = ()
        self.sends_for: Callable[[], Iterable[str]] = tuple
        """The keys of the deployments that this process sends for now."""
        self.hint = Hint()
        """Somebody is to be buried, or this one sends for other deployments than before."""

    @property
    def id(self) -> str:
        """Its name, which is that of its incarnation."""
        return self._presence.id

    @property
    def watching(self) -> bool:
        """Whether it is the one that watches: some things are done by one alone."""
        return self._look is not None and self._look.turn is Turn.WATCHER

    def others(self) -> frozenset[str]:
        """Who else works with the ledger, by the last look."""
        return frozenset() if self._look is None else frozenset(each.id for each in self._look.others if not each.dead)

    async def start(self, *, buried: Callable[[], None], behind: Callable[[], None] = lambda: None) -> None:
        """Begins to look, and buries whoever is evidently dead before this one begins.

        `buried`: this one is; `behind`: the ledger has lost what it had confirmed to it. On any thread.
        """
        event("member_joined", member=self.id)
        self._presence.begin(looked=self._looked, news=self._news, buried=buried, behind=behind)
        try:
            async with asyncio.timeout(SETTLED_SECONDS):
                while not self._settled:
                    looked = asyncio.get_running_loop().create_future()
                    with self._looks.waking(looked):
                        await looked
                    await self.step()
        except (TimeoutError, StorageTrouble):
            # Whoever watches sees to it, now or later.
            pass

    @property
    def _settled(self) -> bool:
        return self._look is not None and not (self.watching and (self._dead or self._watch.doubts))

    def _looked(self, look: Look) -> None:
        self._look = look
        self._dead.update((each.id, each) for each in self._watch.judge(look))
        # Asked for again with each look, until it is back or dead anyhow: a kernel lets go of all that a process had one by one.
        self._doubted = set(self._watch.doubts) if self.watching else set()
        self._looks.notify()
        if self._dead or self._doubted:
            self.hint.notify()

    async def step(self) -> Pace:
        """Buries those who are dead, and says for which deployments this one sends."""
        buried = 0
        while self._doubted:
            # At once, where it is no lost connection that may be back.
            if await self._lives(member := self._doubted.pop()) is False:
                self._dead[member] = Seen(id=member, held=False, overdue=0.0, dead=False)
                self._gone.add(member)
        while self._dead:
            member, seen = self._dead.popitem()
            gone = member in self._gone
            self._gone.discard(member)
            # One that is lost with its machine holds its lock for longer than it is believed, and its file's perhaps for ever.
            lives = None if gone or seen.held else await self._lives(member)
            if lives and seen.only_missing:
                # It has lost its connection, and whoever has ended holds no lock: it may take as long as it is believed.
                continue
            if not await self._presence.doom(member):
                continue
            gone = gone or lives is False
            if (leases := await self._ledger.bury(member, gone=gone)) is not None:
                event("member_buried", member=member, leases=leases)
                buried += 1
        if (sends_for := tuple(sorted(self.sends_for()))) != self._said:
            await self._ledger.send_for(self.id, sends_for)
            self._said = sends_for
        return Pace.BUSY if buried else Pace.IDLE

    async def _lives(self, member: str) -> bool | None:
        """Whether its process is known to live, or to have ended. A file system that does not answer knows nothing."""
        if self._alive is None:
            return None
        try:
            async with asyncio.timeout(KNOWN_SECONDS):
                return await self._alive(member)
        except TimeoutError:
            return None

    def retire(self) -> None:
        """This one is about to leave: somebody else watches from now on."""
        self._presence.retire()

    async def leave(self) -> None:
        """After everything else: nothing that is not given back yet stays behind."""
        self._presence.leave()
        if await self._ledger.bury(self.id) is not None:
            event("member_left", member=self.id)
