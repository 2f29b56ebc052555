"""Runs `slackwater` where every address of a store is a folder: obstore's own local store stands in the place of a cloud.

    LOCAL_STORES=FOLDER python -m tests.system.local_stores serve ...

The processes that it starts import this, too. `LOCAL_STORES_DIE` says where it dies as at kill -9: a module, a
class and a method after whose call it does.
"""

import functools
import importlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from obstore.store import LocalStore

from slackwater.adapters.object_store.place import CloudPlace
from slackwater.cli import main


def folder_of(shown: str) -> Path:
    """Where the objects of an address lie."""
    return Path(os.environ["LOCAL_STORES"]) / shown.partition("://")[2]


def _open(place: CloudPlace) -> LocalStore:
    return LocalStore(folder_of(place.shown), mkdir=True, automatic_cleanup=True)


def _dies(whole: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(whole)
    def dying(*arguments: Any, **options: Any) -> None:
        whole(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    return dying


def _dies_async(whole: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(whole)
    async def dying(*arguments: Any, **options: Any) -> None:
        await whole(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    return dying


CloudPlace.open = _open  # type: ignore[method-assign]
if where := os.environ.get("LOCAL_STORES_DIE"):
    module, kind, name = where.split()
    owner: Any = getattr(importlib.import_module(module), kind)
    method = getattr(owner, name)
    setattr(
        owner, name, (_dies_async if importlib.import_module("inspect").iscoroutinefunction(method) else _dies)(method)
    )

if __name__ == "__main__":
    main()
