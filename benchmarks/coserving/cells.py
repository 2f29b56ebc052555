"""Cells of the benchmark that are known already, in a file beside it: what cannot have changed is not measured again.

A cell is known by a hash of everything that it follows from: the model of the engine, its profiles and traces, the benchmark's
own parts, the scenario, the policy and the seed. So a changed controller costs its own cells only.
"""

import hashlib
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
FILE = HERE / "cells.json"
MODEL = "src/slackwater/core/engine_model/*.py"
SHIPPED = "src/slackwater/adapters/modelled_engine"
DATA = (f"{SHIPPED}/profiles/*.toml", f"{SHIPPED}/traces/*.gz", f"{SHIPPED}/shipped.py", f"{SHIPPED}/metrics_page.py")
PARTS = ("kernel", "virtual_engine", "workload", "measuring", "gateway", "policy", "rivals", "oracle")


@cache
def hash_of(patterns: tuple[str, ...]) -> str:
    """A hash of the files that these patterns name, from the root of the repository."""
    whole = hashlib.sha256()
    for path in sorted(path for pattern in patterns for path in ROOT.glob(pattern)):
        whole.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return whole.hexdigest()


def sources() -> str:
    """A hash of what every cell follows from."""
    return hash_of((MODEL, *DATA, *(f"benchmarks/coserving/{part}.py" for part in PARTS)))


class Cells:
    """What is known, read from `path` and written back by `save`. Cells of other sources are forgotten."""

    def __init__(self, path: Path = FILE) -> None:
        self._path = path
        self._known: dict[str, dict[str, Any]] = {}
        if path.exists():
            stored = json.loads(path.read_text("utf-8"))
            self._known = stored["cells"] if stored["sources"] == sources() else {}

    def get(self, what: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The figures of a cell, `what` being everything that they follow from beside the sources."""
        if what not in self._known:
            self._known[what] = {
                name: round(value, 6) if isinstance(value, float) else value for name, value in measure().items()
            }
        return self._known[what]

    def save(self) -> None:
        """Writes what is known, a line for each cell."""
        lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(self._known[key])}" for key in sorted(self._known))
        self._path.write_text(f'{{"sources": "{sources()}", "cells": {{\n{lines}\n}}}}\n', "utf-8")
