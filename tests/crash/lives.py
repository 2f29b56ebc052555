"""A server that dies and comes back, and a client that outlives it: it makes a call again when the connection dies."""

import http.client
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.api.calls import FAMILIES, Answer, Caller
from tests.crash.moments import Moment
from tests.server import NotStarted, Server

REPOSITORY = Path(__file__).parents[2]
# Far more than a run takes. Whatever is held for ever is found by it.
PATIENCE_SECONDS = 90.0
PACE_SECONDS = 0.01


class Lives:
    """One life of the server after another over the same data. The first ones end at `kills`; the last one is not killed."""

    def __init__(self, root: Path, *, kills: Sequence[Moment] = (), database: str = "", beside: bool = False) -> None:
        """`database` is where the ledger is, if not in the data; `beside`: another server shares it, which is never killed."""
        self.root = root
        self.database = database
        self._beside: Server | None = None
        self.reached: list[Moment] = []
        """Where a life has ended."""
        self.answered: list[tuple[str, str]] = []
        """The request and the id of every call that has changed something, as its caller was told."""
        self.died = 0
        """Calls whose answer never came."""
        self._kills = list(kills)
        self._chosen: Moment | None = None
        self._lives = 0
        self._deadline = time.monotonic() + PATIENCE_SECONDS
        self.server: Server
        self._start()
        if beside:
            module = ["tests.crash.watched_server", "--record", str(root / "moments-beside.txt")]
            config, data, log = (root / name for name in ("slackwater.toml", "data", "beside.log"))
            self._beside = Server(config, data, log, _environment(), module=module)

    @property
    def logs(self) -> list[Path]:
        """What servers have said."""
        return [self.root / "server.log"] + [self.root / "beside.log"] * (self._beside is not None)

    def _start(self) -> None:
        """The next life that says where it listens. One may end before."""
        while True:
            self._chosen = self._kills.pop(0) if self._kills else None
            self._lives += 1
            module = ["tests.crash.watched_server", "--record", str(self.record(self._lives))]
            if self._chosen is not None:
                module += ["--kill", str(self._chosen)]
            config, data, log = (self.root / name for name in ("slackwater.toml", "data", "server.log"))
            try:
                self.server = Server(config, data, log, _environment(), module=module)
                return
            except NotStarted:
                if self._chosen is None:
                    raise
                self.reached.append(self._chosen)

    def record(self, life: int) -> Path:
        """Where a life, counted from 1, has written down its moments."""
        return self.root / f"moments-{life}.txt"

    def revive(self) -> None:
        """The server has ended, at the moment that was chosen and by nothing else; it starts again."""
        code = self.server.process.wait(10)
        assert self._chosen is not None, f"the server ended by itself, with {code}; see {self.root / 'server.log'}"
        assert code == -signal.SIGKILL, f"the server ended with {code} instead of kill -9"
        self.reached.append(self._chosen)
        self._start()

    def pace(self) -> None:
        """Between two looks at something that has yet to come."""
        assert time.monotonic() < self._deadline, f"not at its end after {PATIENCE_SECONDS:.0f} s; see {self.root}"
        time.sleep(PACE_SECONDS)

    def end(self) -> None:
        """The last life ends."""
        self.server.kill()
        if self._beside is not None:
            self._beside.kill()


def _environment() -> dict[str, str]:
    paths = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths)}


class Survivor(Caller):
    """Calls one family of whichever life there is. What it asks for must bear to be asked for twice."""

    def __init__(self, lives: Lives, family: str) -> None:
        assert family in FAMILIES, family
        super().__init__(lives.server, family)
        self.lives = lives

    def __call__(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        while True:
            if self.lives.server.process.poll() is not None:
                # Its port may be somebody else's by now.
                self.lives.revive()
            self.server = self.lives.server
            try:
                answer = super().__call__(method, path, body, **more)
            except (OSError, http.client.HTTPException):
                self.lives.died += 1
                self.lives.revive()
                continue
            if method != "GET" and answer.status < 400 and not _changed_nothing(answer):
                self.lives.answered.append((f"{method} {path}", answer.headers["x-request-id"]))
            return answer

    def until(self, path: str, true_of: Any) -> Any:
        """Asks until that is true of what is answered, and returns it."""
        while not true_of(found := self("GET", path).json):
            self.lives.pace()
        return found


def _changed_nothing(answer: Answer) -> bool:
    if "idempotent-replayed" in answer.headers:
        return True
    shown = answer.json if answer.body else {}
    return isinstance(shown, dict) and shown.get("deleted") is False
