"""Requests that wait for an engine: in the order of arrival, or by priority."""

import heapq
from collections import deque
from collections.abc import Iterator

from slackwater.core.engine_model.requests import EngineRequest, State


class WaitingQueue:
    """Who is next. One that is aborted stays in place until it is next, and is passed over then: aborts cost nothing."""

    def __init__(self, *, by_priority: bool) -> None:
        self._by_priority = by_priority
        self._line: deque[EngineRequest] = deque()
        self._heap: list[tuple[int, int, EngineRequest]] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, request: EngineRequest) -> None:
        """A new request, or by priority also one that was preempted: it has kept its place by arrival."""
        self._count += 1
        if self._by_priority:
            heapq.heappush(self._heap, (request.priority, request.order, request))
        else:
            self._line.append(request)

    def add_first(self, request: EngineRequest) -> None:
        """One that was preempted goes on before all others of its priority."""
        if self._by_priority:
            self.add(request)
        else:
            self._count += 1
            self._line.appendleft(request)

    def dropped(self) -> None:
        """One that waits here was aborted: it has another state already."""
        self._count -= 1

    def next(self) -> EngineRequest | None:
        """Who is next, without taking it."""
        while self._heap and self._heap[0][2].state is not State.WAITING:
            heapq.heappop(self._heap)
        while self._line and self._line[0].state is not State.WAITING:
            self._line.popleft()
        if self._heap:
            return self._heap[0][2]
        return self._line[0] if self._line else None

    def take(self) -> EngineRequest:
        """Takes who is next."""
        self._count -= 1
        return heapq.heappop(self._heap)[2] if self._heap else self._line.popleft()

    def __iter__(self) -> Iterator[EngineRequest]:
        for request in (*self._line, *(entry[2] for entry in self._heap)):
            if request.state is State.WAITING:
                yield request

    def clear(self) -> None:
        """The engine has died."""
        self._line.clear()
        self._heap.clear()
        self._count = 0
