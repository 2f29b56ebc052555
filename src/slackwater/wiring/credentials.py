"""Keys of backends that are in files: read again every two seconds, and used from then on, without a restart.

A door that is shut is tried at once when its key has changed. The credential of such a door is known by the file and not by
what is in it, so the door stays the same one.
"""

import asyncio
import logging
import weakref
from pathlib import Path

from msgspec import Struct

from slackwater.adapters.upstream.http_backend import HttpBackend
from slackwater.config import BackendConfig, ConnectedBackend, read_key
from slackwater.core.sending.door import Door
from slackwater.core.sending.engine_names import backend_label
from slackwater.pipeline.loops import Pace
from slackwater.pipeline.sending.engine import Engine
from slackwater.telemetry import event
from slackwater.wiring.backends import headers_of

LOOK_SECONDS = 2.0


class _User(Struct, frozen=True):
    """A client that sends a key of a file. It goes with its deployment, and is not kept for this."""

    config: BackendConfig
    client: "weakref.ref[HttpBackend]"
    engine: Engine
    door: Door


class Credentials:
    """The keys of all backends, by the names under which they are configured."""

    def __init__(self, keys: dict[str, str]) -> None:
        self.keys = dict(keys)
        """Those of files as they are now."""
        self._users: dict[str, list[_User]] = {}
        # What is wrong with a file, as it was told.
        self._faults: dict[str, str] = {}

    def key_of(self, config: BackendConfig) -> str | None:
        """The key of a backend, if it has one."""
        if isinstance(config, ConnectedBackend) and config.key is not None:
            return config.key.value
        return None if config.key_name is None else self.keys.get(config.key_name)

    def identity_of(self, config: BackendConfig) -> str | None:
        """What tells its credential from others: of a file its name, because what is in it changes."""
        return config.key_name if config.api_key_file is not None else self.key_of(config)

    def follow(self, config: BackendConfig, client: HttpBackend, engine: Engine, door: Door) -> None:
        """From now on this client gets what is in its file, where it has one."""
        if config.api_key_file is not None:
            user = _User(config, weakref.ref(client), engine, door)
            users = self._users.setdefault(config.api_key_file, [])
            users[:] = [*(each for each in users if each.client() is not None), user]

    async def step(self) -> Pace:
        """Reads every file that somebody uses once."""
        for file in list(self._users):
            await self._look(file)
        return Pace.IDLE

    async def _look(self, file: str) -> None:
        try:
            key = await asyncio.to_thread(read_key, Path(file))
        except (OSError, ValueError) as error:
            # In the middle of a change it may be empty or away; the key that there was goes on being used.
            fault = str(getattr(error, "strerror", None) or error)
            if self._faults.get(file) != fault:
                self._faults[file] = fault
                event("key_file_unusable", level=logging.WARNING, file=file, reason=fault)
            return
        self._faults.pop(file, None)
        name = f"file:{file}"
        if key == self.keys.get(name):
            return
        self.keys[name] = key
        users = self._users[file] = [each for each in self._users[file] if each.client() is not None]
        for user in users:
            client = user.client()
            if client is not None:
                client.use_headers(headers_of(user.config, key=key))
        backends = sorted({backend_label(each.config.url or "") for each in users})
        event("backend_key_changed", file=file, backend=",".join(backends))
        for engine in {each.engine for each in users}:
            engine.try_now({each.door for each in users if each.engine is engine})
