"""What the commands have in common that place workers on a cluster, and how they say that it will not have them."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from slackwater.cli.output import USAGE, fail
from slackwater.core.errors import ClusterRefused, ConfigError

if TYPE_CHECKING:
    from slackwater.wiring.placing import Placing

F = TypeVar("F", bound=Callable[..., Any])


def cluster_options(function: F) -> F:
    """Adds `--engine` and `--address`."""
    engine = click.option(
        "--engine",
        type=click.Choice(["ray"]),
        default="ray",
        show_default=True,
        expose_value=False,
        help="Whose nodes.",
    )
    address = click.option(
        "--address",
        envvar="RAY_ADDRESS",
        default="auto",
        show_default=True,
        metavar="HOST:PORT",
        help="The head of the cluster.  [env: RAY_ADDRESS]",
    )
    return engine(address(function))


@contextlib.contextmanager
def in_cluster(address: str, config: Path | None = None) -> Iterator["Placing"]:
    """The workers of the cluster there, or a line that says why not and an end: about the configuration first."""
    # Imported here: it brings along all that the coordinator needs.
    from slackwater.wiring.placing import checked, entered

    try:
        if config is not None:
            checked(config)
        with entered(address) as placing:
            yield placing
    except ConfigError as error:
        fail(str(error), USAGE)
    except ClusterRefused as error:
        fail(str(error))
