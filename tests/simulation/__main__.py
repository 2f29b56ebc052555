"""Replays seeds: `python -m tests.simulation --seed 17`, or `--seeds 0-1999 --processes 2`.

With `--servers`, those of several servers over one ledger.
"""

import argparse
import logging
import multiprocessing
import sys
import time

from tests.simulation.checks import Violation
from tests.simulation.play import play
from tests.simulation.servers.play import play as play_servers
from tests.simulation.virtual import Stuck


def played(seed: int) -> tuple[int, int, str]:
    """A seed, how many requests it sent, and what went wrong in it, if anything."""
    try:
        return seed, play(seed).checks.sent, ""
    except (Violation, Stuck) as violation:
        return seed, 0, str(violation)


def played_servers(seed: int) -> tuple[int, int, str]:
    """The same of a seed of several servers."""
    try:
        return seed, play_servers(seed).sending.calls, ""
    except Violation as violation:
        return seed, 0, str(violation)


def quiet() -> None:
    """The services of the world complain a lot."""
    logging.getLogger("slackwater").propagate = False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seeds", default="0-199")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--servers", action="store_true", help="several servers over one ledger")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    if args.verbose:
        logging.basicConfig(level="INFO", format="%(message)s")
    else:
        quiet()
    first, last = (args.seed, args.seed) if args.seed is not None else map(int, args.seeds.split("-"))
    failed, sent, started = 0, 0, time.perf_counter()
    seeds = range(first, last + 1)
    # A new process now and then, so that what a thousand worlds leave behind does not pile up.
    with multiprocessing.Pool(args.processes, initializer=quiet, maxtasksperchild=200) as pool:
        one = played_servers if args.servers else played
        lot = map(one, seeds) if len(seeds) == 1 else pool.imap_unordered(one, seeds)
        for done, (seed, requests, violation) in enumerate(lot, 1):
            sent += requests
            if done % 50 == 0:
                print(f"{done} of {len(seeds)} seeds, {failed} failed", flush=True)
            if violation:
                failed += 1
                print(f"seed {seed}: {violation}", flush=True)
    print(f"{len(seeds)} seeds, {failed} failed, {sent} requests, {time.perf_counter() - started:.1f} s")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
