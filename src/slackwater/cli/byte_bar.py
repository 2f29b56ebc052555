"""Shows how far a copy is: a bar with bytes on a terminal, nothing in a pipe, where the last line says it all."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Show = Callable[[int, int], None]
"""Takes the bytes that are done, and those that there are. Named here, because a back-up's own name for it costs an import."""


@contextmanager
def byte_bar(label: str, *, quiet: bool = False) -> Iterator[Show]:
    """Yields a function to call with the bytes that are done, and those that there are."""
    if quiet or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    # Imported here, because it costs more than a small back-up.
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=5) as bars:
        bar = bars.add_task(label, total=None)
        yield lambda done, total: bars.update(bar, completed=done, total=total)


def size_of(count: int) -> str:
    """Bytes as a person reads them."""
    amount, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{count:,} bytes" if unit == "bytes" else f"{amount:,.1f} {unit}"
