"""Which data directory a command opens by itself: the one that --data names, or --config's `[server] data`, as for `serve`."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from msgspec import Struct

from slackwater.adapters.disk.data_directory import DataDirectory
from slackwater.cli.output import USAGE, fail
from slackwater.config import ServerConfig, data_in, database_in, files_in, resources_in, server_in
from slackwater.core.errors import ConfigError
from slackwater.core.masking import shown_url

F = TypeVar("F", bound=Callable[..., Any])
DEFAULT_DATA = Path(ServerConfig().data)


class Data(Struct, frozen=True, kw_only=True):
    """A data directory, and whether an option names it."""

    path: Path
    given: bool
    files: str = ""
    """Where its files are, where --config says that they are not in it."""
    database: str = ""
    """The address of its ledger, where --config says that it is not in the directory. Not to be shown: it may have a password."""

    config: Path | None = None
    """The configuration, where one is named."""

    resources: frozenset[str] | None = None
    """Those that there are, where --config says it."""

    @property
    def shown(self) -> str:
        """The whole path, for people: who reads it may stand elsewhere."""
        return str(self.path.absolute())

    @property
    def ledger_shown(self) -> str:
        """Where its ledger is, for people: a database without its password, or the directory."""
        return shown_url(self.database) or self.shown

    @property
    def files_elsewhere(self) -> str:
        """Where its files are, as the configuration or the directory says it; empty: in it. Raises DataDirectoryError."""
        return self.files or DataDirectory.files_of(self.path)

    def must_exist(self) -> None:
        """Ends the command where nothing is there: whoever looks, or goes on with what is there, makes nothing."""
        if not self.path.is_dir():
            hint = data_beside(self.path, self.config)
            fail(
                f"there is no data directory {self.shown}; "
                + (hint or "name the data directory of a server with --data DIR, or --config FILE"),
                USAGE,
            )


def data_beside(path: Path, config: Path | None) -> str:
    """What to do where a data directory is not there, and one of that name lies beside the configuration; empty where none does.

    A relative one is that of the folder in which somebody stands, who may stand in another one than yesterday.
    """
    if config is None or path.is_absolute() or path.exists() or not (beside := config.resolve().parent / path).is_dir():
        return ""
    return f"there is one in {beside}: start in {beside.parent}, or name it with --data"


def data_options(*, default: str | None = f"[default: {DEFAULT_DATA}]") -> Callable[[F], F]:
    """Adds --data and --config; the command gets them as `data`.

    `default` says what counts without them; None: one has to be given.
    """

    def add(function: F) -> F:
        @functools.wraps(function)
        def command(*arguments: Any, data: Path | None, config_path: Path | None, **options: Any) -> Any:
            return function(*arguments, data=_chosen(data, config_path, needed=default is None), **options)

        named = (
            click.option(
                "--data", type=click.Path(path_type=Path), help=f"Data directory.  {default or '[this, or --config]'}"
            ),
            click.option(
                "--config",
                "config_path",
                type=click.Path(path_type=Path),
                help="The server's configuration: its data directory, where --data names none.",
            ),
        )
        return functools.reduce(lambda made, option: option(made), reversed(named), command)  # type: ignore[return-value]

    return add


def _chosen(data: Path | None, config: Path | None, *, needed: bool) -> Data:
    """The strongest word, as for `serve`: --data, --config, the default."""
    if config is None:
        if data is None and needed:
            raise click.UsageError("name the data directory: --data DIR, or --config FILE of the server")
        return Data(path=DEFAULT_DATA if data is None else data, given=data is not None)
    try:
        server_in(config)
        return Data(
            path=data_in(config) if data is None else data,
            given=True,
            database=database_in(config),
            files=files_in(config),
            config=config,
            resources=resources_in(config),
        )
    except ConfigError as error:
        fail("; ".join(error.faults), USAGE)
