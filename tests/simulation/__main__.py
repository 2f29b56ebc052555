"""Replays seeds: `python -m tests.simulation --seed 17`, or `--seeds 0-199`."""

import argparse
import logging
import sys
import time

from tests.simulation.checks import Violation
from tests.simulation.play import play


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seeds", default="0-199")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    if args.verbose:
        logging.basicConfig(level="INFO", format="%(message)s")
    else:
        logging.getLogger("slackwater").propagate = False
    first, last = (args.seed, args.seed) if args.seed is not None else map(int, args.seeds.split("-"))
    failed, sent, started = 0, 0, time.perf_counter()
    for seed in range(first, last + 1):
        try:
            world = play(seed)
            sent += world.checks.sent
        except Violation as violation:
            failed += 1
            print(f"seed {seed}: {violation}")
    print(f"{last - first + 1} seeds, {failed} failed, {sent} requests, {time.perf_counter() - started:.1f} s")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
