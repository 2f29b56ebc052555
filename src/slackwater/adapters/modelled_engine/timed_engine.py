"""A modelled engine in real time: steps take as long as the model says, divided by the time scale.

Everything on the wire is in the time of the wall: the gaps between chunks, and the times on the metrics page. The model is made
quicker by the time scale for that, so that what a client measures and what the page says agree.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from slackwater.adapters.modelled_engine.online_traffic import OnlineTraffic
from slackwater.core.engine_model import EngineModel, EngineRequest, Profile, State, StepEnd

# A machine that cannot keep up: then time is slowed down by what is missing, and that is said.
BEHIND_MAX_SECONDS = 0.1


def at_speed(profile: Profile, speed: float) -> Profile:
    """The same engine, `speed` times as fast."""
    cost = profile.step_time
    quicker = replace(
        cost,
        linear=tuple(seconds / speed for seconds in cost.linear),
        per_context_token=cost.per_context_token / speed,
        per_attention_pair=cost.per_attention_pair / speed,
        per_step=cost.per_step / speed,
        per_sequence=cost.per_sequence / speed,
    )
    return replace(profile, step_time=quicker)


@dataclass(frozen=True, slots=True)
class Deaths:
    """It dies every so many seconds of the wall, and is down for some."""

    every: float
    down: float


class Call:
    """One call that is out: a request for each choice. `changed` is set whenever there is more to say about it."""

    def __init__(self, requests: Sequence[EngineRequest], *, streamed: bool) -> None:
        self.requests = requests
        self.streamed = streamed
        self.left = len(requests)
        self.lost = False
        self.gone = False
        self.changed = asyncio.Event()

    @property
    def over(self) -> bool:
        """Whether nothing more comes: it is answered, the engine has died, or the client has gone."""
        return self.left == 0 or self.lost or self.gone


class TimedEngine:
    """Drives a model while `run` runs. Calls are made and aborted from the same event loop."""

    def __init__(
        self,
        model: EngineModel,
        *,
        traffic: Callable[[float], OnlineTraffic] | None = None,
        deaths: Deaths | None = None,
        cut: Callable[[], None] = lambda: None,
    ) -> None:
        """`traffic` makes the online users from the moment of the start; `cut` cuts all connections, when it dies."""
        self.model = model
        self.down = False
        self.behind_seconds = 0.0
        self.deaths_so_far = 0
        self.traffic: OnlineTraffic | None = None
        self._make_traffic, self._deaths, self._cut = traffic, deaths, cut
        self._calls: dict[str, Call] = {}
        self._streams: dict[str, Call] = {}
        self._awake = asyncio.Event()
        self._time = 0.0
        self._step_end = 0.0
        self._slipped = 0.0
        self._dies_at = float("inf")

    def _wall(self) -> float:
        return asyncio.get_running_loop().time() - self._slipped

    def _now(self) -> float:
        """The moment in the model's time, which is never outside of the step that is going on."""
        wall = max(self._wall(), self._time)
        return min(wall, self._step_end) if self.model.stepping else wall

    # What callers do.

    def call(self, requests: Sequence[EngineRequest], *, streamed: bool) -> Call:
        """Submits the requests of one call."""
        call = Call(requests, streamed=streamed)
        now = self._now()
        for request in requests:
            self._calls[request.id] = call
            if streamed:
                self._streams[request.id] = call
            self.model.submit(request, now)
        self._awake.set()
        return call

    def abort(self, call: Call) -> None:
        """The client has gone. Does nothing to what is over."""
        for request in call.requests:
            self._calls.pop(request.id, None)
            self._streams.pop(request.id, None)
            self.model.abort(request)
        if not call.over:
            call.gone = True
            call.changed.set()

    # The engine.

    async def run(self) -> None:
        """Works until it is cancelled."""
        self._time = self._wall()
        self.traffic = self._make_traffic(self._time) if self._make_traffic else None
        if self._deaths:
            self._dies_at = self._time + self._deaths.every
        while True:
            if self._time >= self._dies_at:
                await self._die()
            self._let_in(self._time)
            seconds = self.model.begin_step(self._time)
            if seconds is None:
                await self._idle()
                continue
            self._step_end = self._time + seconds
            await self._until(self._step_end)
            end = self.model.end_step(self._step_end)
            self._time = self._step_end
            if end is not None:
                self._tell(end)

    def _let_in(self, now: float) -> None:
        if self.traffic:
            for at, request in self.traffic.come(now):
                self.model.submit(request, at)

    async def _until(self, moment: float) -> None:
        """Sleeps up to a moment. Where that has passed the next steps catch up, so that the pace is right on the mean."""
        left = moment - self._wall()
        if left < -BEHIND_MAX_SECONDS:
            self._slipped -= left
            self.behind_seconds -= left
        await asyncio.sleep(max(0.0, left))

    async def _idle(self) -> None:
        """Until somebody comes, or it is time to die."""
        self._awake.clear()
        until = min(self._dies_at, self.traffic.next_at if self.traffic else float("inf"))
        left = until - self._wall()
        try:
            await asyncio.wait_for(self._awake.wait(), None if left == float("inf") else max(0.0, left))
        except TimeoutError:
            self._time = max(self._time, until)
        else:
            self._time = max(self._time, self._wall())

    def _tell(self, end: StepEnd) -> None:
        for call in self._streams.values():
            call.changed.set()
        for request in end.finished:
            if self.traffic:
                self.traffic.ended(request)
            call_of = self._calls.pop(request.id, None)
            self._streams.pop(request.id, None)
            if call_of is not None:
                call_of.left -= 1
                call_of.changed.set()

    def end(self) -> list[EngineRequest]:
        """Everything is lost and all connections are cut, as when a process ends. Returns what was lost."""
        self.down = True
        self._cut()
        lost = self.model.die()
        for call in self._calls.values():
            call.lost = True
            call.changed.set()
        self._calls.clear()
        self._streams.clear()
        return lost

    async def _die(self) -> None:
        """It ends, and for a while there is nobody."""
        assert self._deaths is not None
        self.deaths_so_far += 1
        lost = self.end()
        if self.traffic:
            for request in lost:
                self.traffic.lost(request)
        back = self._time + self._deaths.down
        await self._until(back)
        if self.traffic:
            for _, request in list(self.traffic.come(back)):
                self.traffic.lost(request)
        self._time = max(back, self._wall())
        self._dies_at = self._time + self._deaths.every
        self.down = False


def has_tokens(request: EngineRequest) -> bool:
    """Whether any token of it has come."""
    return request.first_token_at is not None or request.state is State.FINISHED
