"""`slackwater down`: ends the workers that `slackwater up` has started on a Ray cluster."""

import click

from slackwater.cli.cluster_options import cluster_options, in_cluster
from slackwater.cli.output import USAGE, fail, note
from slackwater.core.watching.cluster import counted


@click.command("down")
@cluster_options
@click.option("--node", metavar="NODE", help="Only that of a node: its id, its address, or 'here'.")
@click.option("--now", is_flag=True, help="Do not wait for the answers that are on their way.")
def command(address: str, node: str | None, now: bool) -> None:
    """End the workers on a Ray cluster gently: each takes nothing new, waits for the answers that are on their way, and gives
    the rest back. Batches go on wherever else there is a worker or a server that sends, or once there is one.

    With --node the others stay, and that node gets no worker any more: what to do before a machine is taken away.

    \b
    Exit codes: 0 done, 1 it went wrong, 2 wrong usage.
    \b
    Examples:
      slackwater down --address 10.0.0.5:6379
      slackwater down --node here
    """
    if node is not None and now:
        fail("--now ends all of them; a single one is ended with its node", USAGE)
    with in_cluster(address) as placing:
        if node is not None:
            placing.send_away(node)
            note("its worker has ended")
        elif now:
            note(f"{counted(placing.kill(), 'worker')} ended; what was out is sent again")
        else:
            left = -1
            for told in placing.stop():
                if len(told.workers) != left:
                    left = len(told.workers)
                    note(f"waiting for {counted(left, 'worker')}")
            note("all workers have ended")
