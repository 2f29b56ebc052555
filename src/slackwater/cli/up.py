"""`slackwater up`: a worker on every node of a Ray cluster."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from slackwater.cli.cluster_options import cluster_options, in_cluster
from slackwater.cli.output import USAGE, WENT_WRONG, fail, json_option, note, print_json, print_rows

if TYPE_CHECKING:
    from slackwater.adapters.ray.coordinator import Seen, Told

LOOK_SECONDS = 0.5


@click.command("up")
@cluster_options
@click.option(
    "-c",
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    help="The servers' TOML file, which every node has at the same place.",
)
@click.option("--resource", default="", metavar="NAME", help="Only nodes that have it.  [default: all but the head]")
@click.option("--status", "only_asked", is_flag=True, help="Change nothing; say what there is.")
@click.option("--wait", "seconds", type=click.FloatRange(min=0), default=120.0, show_default=True, help="Seconds.")
@json_option
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def command(
    address: str,
    config_path: Path | None,
    resource: str,
    only_asked: bool,
    seconds: float,
    as_json: bool,
    options: tuple[str, ...],
) -> None:
    """Start a worker on every node of a Ray cluster, now and whenever one joins: for servers whose ledger is on PostgreSQL.

    To be run on a node of the cluster, with its token. What comes after -- are words for 'slackwater worker'. Each node has the
    configuration, and in its environment what that names; neither goes through Ray. Ray keeps the workers, and starts them again.

    It waits until all of them work, or one says why it cannot, and lists them. To run it again changes nothing. 'slackwater down'
    ends them.

    \b
    Exit codes: 0 all work, 1 one does not, 2 wrong usage.
    \b
    Examples:
      slackwater up --address 10.0.0.5:6379 -c /etc/slackwater/slackwater.toml
      slackwater up -c /etc/slackwater/slackwater.toml --resource slackwater -- --deployments llama-batch
      slackwater up --status
    """
    if only_asked and (config_path or resource or options):
        fail("--status changes nothing, and takes no configuration, resource or words for workers", USAGE)
    if not only_asked and config_path is None:
        fail("name the configuration, with -c", USAGE)
    with in_cluster(address, config_path) as placing:
        told = placing.told() if config_path is None else placing.place(config_path, resource, options)
        limit = time.monotonic() + (0 if only_asked else seconds)
        while not settled(told) and time.monotonic() < limit:
            time.sleep(LOOK_SECONDS)
            told = placing.told()
    if as_json:
        print_json(msgspec.to_builtins(told))
    else:
        print_rows(
            ("node", "address", "state", "member", "starts", "pid"), map(_row, told.workers), nothing="no worker"
        )
        for each in told.workers:
            if each.said:
                note(f"warning: {each.name}: {each.said}")
    if any(each.said for each in told.workers) or not settled(told):
        raise SystemExit(WENT_WRONG)


def settled(told: "Told") -> bool:
    """Whether all that are to be there work, or one has said why it does not."""
    return told.looked and bool(told.workers) and all(each.member or each.said for each in told.workers)


def _row(worker: "Seen") -> list[str]:
    state = "ending" if worker.ending else "works" if worker.member else "waits" if worker.said else "starts"
    return [worker.node[:12], worker.name, state, worker.member, str(worker.starts), str(worker.pid or "")]
