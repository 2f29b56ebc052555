"""The product's model of an engine, driven in virtual time."""

from collections.abc import Callable

from benchmarks.coserving.kernel import Kernel

from slackwater.core.engine_model import EngineModel, EngineRequest, StepEnd


class VirtualEngine:
    """One engine. `listeners` hear of every step that ends, at the moment at which it does."""

    def __init__(self, kernel: Kernel, model: EngineModel) -> None:
        self.model = model
        self.listeners: list[Callable[[StepEnd], None]] = []
        self._kernel = kernel
        self._awake = False

    def submit(self, request: EngineRequest) -> None:
        """A request arrives now."""
        self.model.submit(request, self._kernel.now)
        self.wake()

    def wake(self) -> None:
        """Begins to step, if it does not already."""
        if not self._awake:
            self._awake = True
            self._kernel.at(self._kernel.now, self._begin)

    def _begin(self) -> None:
        seconds = self.model.begin_step(self._kernel.now)
        if seconds is None:
            self._awake = False
        else:
            self._kernel.at(self._kernel.now + seconds, self._end)

    def _end(self) -> None:
        end = self.model.end_step(self._kernel.now)
        assert end is not None, "engines do not die here"
        for listen in self.listeners:
            listen(end)
        self._begin()
