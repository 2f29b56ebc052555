"""The deployments that are served, and the worker of each. Both may change while the service runs.

Of some of them, or of all, others may be the ones who send: their workers are here for what they know, and never start.

A worker that is replaced, or whose deployment goes, ends the calls that are out in its grace time, journals what came and
gives its shards back: whoever works for the deployment from then on continues with the lines that are not done.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from slackwater.core.sending.deployment import Deployment
from slackwater.core.sending.pace import EnginePace
from slackwater.core.sending.pause import Pause, Target
from slackwater.pipeline.loops import Loop
from slackwater.pipeline.sending.dispatcher import Dispatcher
from slackwater.pipeline.sending.engine import Engine
from slackwater.pipeline.sending.held_back import HeldBack
from slackwater.pipeline.sending.worker import Worker
from slackwater.telemetry import event, meters

# A step that takes longer than this at a stop is cut off: its disk or its ledger does not answer.
STUCK_SECONDS = 10.0


class Post:
    """A deployment that is served, by whom, and what repeats for it."""

    def __init__(self, deployment: Deployment, worker: Worker) -> None:
        self.deployment = deployment
        self.worker = worker
        self.loops: list[Loop] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.sends = False
        # Nothing may choose it while the ledger is asked whether it can go.
        self.hidden = False

    def start(self) -> None:
        self.sends = True
        self.worker.start()
        self.loops = self.worker.loops()
        self.tasks = [asyncio.create_task(loop.run(), name=f"{loop.name} {loop.of}") for loop in self.loops]

    async def end(self) -> None:
        """Ends the calls that are out in their grace time, then the loops, each after its step; then journals what came."""
        await self.worker.drain()
        for loop in self.loops:
            loop.end()
        if self.tasks:
            _, stuck = await asyncio.wait(self.tasks, timeout=STUCK_SECONDS)
            for task in stuck:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.worker.stop()


class EngineWatch(Struct, frozen=True):
    """The watch over an engine of a deployment, for whoever asks whether everything runs."""

    of: str
    engine: Engine
    name: str = "engine"
    stuck: bool = False

    @property
    def failures(self) -> int:
        """Looks in a row that went wrong."""
        return self.engine.looks.failures


class Fleet:
    """Every deployment, by the name that the ledger has for it."""

    def __init__(
        self,
        make_worker: Callable[[Deployment, Sequence[Dispatcher]], Worker],
        *,
        sends: Callable[[str], bool] = lambda key: True,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """`sends`: whether this process sends for a deployment, by its key; the others are known here, and nothing is done for
        them. `changed` is told when it begins to send for one, or ends.
        """
        self._make_worker = make_worker
        self._sends = sends
        self._changed = changed
        self._posts: dict[str, Post] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self._running = False
        # What operators have paused, by the names of engines and the keys of deployments.
        self._pauses: dict[tuple[Target, str], Pause] = {}
        # And the paces that they have set, by the names of engines.
        self._paces: Mapping[str, EnginePace] = {}

    def all(self) -> list[Deployment]:
        """Those that a batch may be on, the ones that are being deleted included."""
        return [post.deployment for post in self._posts.values() if not post.hidden]

    def open_in(self, resource: str) -> list[Deployment]:
        """Those of a resource that take new batches."""
        return [each for each in self.all() if each.resource == resource and each.deleted_at is None]

    def get(self, key: str) -> Deployment | None:
        """The deployment with this key."""
        post = self._posts.get(key)
        return None if post is None else post.deployment

    def serves(self, key: str) -> bool:
        """Whether this process sends for a deployment."""
        post = self._posts.get(key)
        return post is not None and post.sends

    def served(self) -> list[str]:
        """The keys of those that this process sends for."""
        return [key for key, post in self._posts.items() if post.sends] if self._running else []

    def dispatchers_of(self, key: str) -> Sequence[Dispatcher]:
        """Who sends for a deployment."""
        post = self._posts.get(key)
        return () if post is None else post.worker.dispatchers

    def sends(self, key: str, batch_id: str) -> bool:
        """Whether a request of a batch is out."""
        post = self._posts.get(key)
        return post is not None and post.worker.sends(batch_id)

    def in_hand(self, key: str) -> Mapping[str, str]:
        """The batches of a deployment of which shards are in hand here, and the endpoint of each."""
        post = self._posts.get(key)
        return {} if post is None else post.worker.in_hand()

    def held_back(self, key: str, batch_id: str) -> HeldBack | None:
        """Why nothing of one batch is sent, where that is not its deployment's doing."""
        post = self._posts.get(key)
        return None if post is None else post.worker.held_back(batch_id)

    def tokens_per_second(self, key: str, *, now: float, work_seconds_min: float = 0.0) -> float:
        """What the backends of a deployment have been seen to do; 0 after less work. `now` is monotonic."""
        if (post := self._posts.get(key)) is None:
            return 0.0
        return post.worker.throughput.tokens_per_second(now=now, work_seconds_min=work_seconds_min)

    def put(self, deployment: Deployment, dispatchers: Sequence[Dispatcher] | None) -> None:
        """Serves a deployment as it is from now on. With dispatchers, a new worker takes over at once."""
        before = self._posts.get(deployment.key)
        if dispatchers is None:
            assert before is not None, "only what is served already can change without a worker"
            before.deployment = deployment
            return
        post = self._posts[deployment.key] = Post(deployment, self._make_worker(deployment, dispatchers))
        for dispatcher in dispatchers:
            # Also where somebody else sends for it: an engine's limit is that of all who use it.
            dispatcher.engine.says(dispatcher, dispatcher.says)
        self._obey(post)
        if before is not None:
            self._retire(before)
        if self._running:
            self._start(post)

    def _start(self, post: Post) -> None:
        if self._sends(post.deployment.key):
            post.start()
            self._changed()

    def hide(self, key: str, *, hidden: bool) -> None:
        """Whether nothing may choose a deployment for the moment."""
        if key in self._posts:
            self._posts[key].hidden = hidden

    def remove(self, key: str) -> None:
        """Serves a deployment no more."""
        post = self._posts.pop(key, None)
        if post is not None:
            self._retire(post)
            self._changed()
            meters.forget_deployment(key)

    def _retire(self, post: Post) -> None:
        for dispatcher in post.worker.dispatchers:
            dispatcher.engine.says(dispatcher, None)
        if self._running:
            task = asyncio.create_task(self._end(post))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    async def _end(self, post: Post) -> None:
        # Leases are renewed and results journaled until the last call is back.
        try:
            await post.end()
        except Exception as error:
            event("worker_broke", level=logging.ERROR, deployment=post.deployment.key, error=repr(error))
        event("worker_retired", deployment=post.deployment.key)

    # What operators say

    def obey(self, pauses: Iterable[Pause], paces: Mapping[str, EnginePace]) -> None:
        """What is paused of engines and deployments from now on, and how engines are paced, those included that come later."""
        self._paces = paces
        self._pauses = {(each.what, each.target): each for each in pauses}
        for post in self._posts.values():
            self._obey(post)

    def _obey(self, post: Post) -> None:
        post.worker.hold(held=(Target.DEPLOYMENT, post.deployment.key) in self._pauses)
        for dispatcher in post.worker.dispatchers:
            engine = dispatcher.engine
            engine.hold(self._pauses.get((Target.ENGINE, engine.name)))
            engine.pacing.obey(self._paces.get(engine.name))

    def pause_of(self, key: str) -> Pause | None:
        """The pause of a deployment."""
        return self._pauses.get((Target.DEPLOYMENT, key))

    def pause_batch(self, batch_id: str) -> None:
        """Nothing more of a batch is sent by those who have shards of it."""
        for post in self._posts.values():
            post.worker.pause_batch(batch_id)

    def try_now(self, key: str, batch_id: str | None = None) -> None:
        """Batches of a deployment that were told to wait, or one of them, wait no longer."""
        post = self._posts.get(key)
        if post is not None:
            post.worker.try_now(batch_id)

    def dispatchers(self) -> list[tuple[str, Dispatcher]]:
        """Those of all deployments, each with the key of its own."""
        return [(key, each) for key, post in self._posts.items() for each in post.worker.dispatchers]

    def senders(self) -> list[tuple[str, Dispatcher]]:
        """The same of those deployments that this process sends for."""
        return [(key, each) for key, each in self.dispatchers() if self._posts[key].sends]

    def watched(self) -> list["Loop | EngineWatch"]:
        """What must run for all of them: what repeats, and the watch over each engine."""
        watched: list[Loop | EngineWatch] = []
        for key, post in self._posts.items():
            watched += post.loops
            watched += [EngineWatch(key, use.dispatcher.engine) for use in post.worker.uses if post.sends]
        return watched

    @property
    def in_flight(self) -> int:
        """How many calls to backends are out."""
        return sum(post.worker.in_flight for post in self._posts.values())

    def start(self) -> None:
        """Lets every worker work, and those that are put later."""
        self._running = True
        for post in self._posts.values():
            self._start(post)

    async def stop(self) -> None:
        """Ends every worker, within the grace time."""
        self._running = False
        await asyncio.gather(*(self._end(post) for post in self._posts.values()), *self._retiring)
