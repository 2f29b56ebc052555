"""A month of a large cluster in virtual time: `python benchmarks/scale/month.py --scale 0.02 --days 30`.

    python benchmarks/scale/month.py [--days 30] [--scale 1.0] [--seed 1] [--json FILE]

At scale 1: 1,000 engines in groups of ten, 100 tenants, 600 deployments, 50 members, a thousand million lines a day. Who goes
next is decided by the service's own scheduler (`Claims`, `BatchOrder`, `Turns`, `shared_slots`, the quota of enqueued tokens),
the ledger is one in memory that answers as the SQL ledger does. The unit of work is a shard. Engines die, members die, all
members are deployed anew each week, one tenant floods for a day, one type of engines is slow for a day.
What must hold is asserted; the figures are printed.
"""

import argparse
import gc
import json
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from benchmarks.scale.cluster import HOUR, Cluster
from benchmarks.scale.load import plan_of
from benchmarks.scale.rhythm import DAY_SECONDS

ENGINE_DEAD_SECONDS, ENGINE_LIVES_DAYS = 600.0, 10.0
MEMBER_LIVES_DAYS, LOST_OF_DEATHS = 10.0, 1 / 3
FLOOD_TIMES, SLOW_TIMES = 10.0, 0.5
DEPLOY_EVERY_DAYS, DEPLOY_SECONDS = 7.0, 60.0


def trouble(cluster: Cluster, days: float, chance: Random) -> None:
    """Puts everything that goes wrong into its moment."""
    end = days * DAY_SECONDS
    for number in range(len(cluster.engines)):
        moment = 0.0
        while (moment := moment + chance.expovariate(1 / (ENGINE_LIVES_DAYS * DAY_SECONDS))) < end:
            cluster.at(moment, cluster.lives.fail, number, ENGINE_DEAD_SECONDS)
            moment += ENGINE_DEAD_SECONDS
    for number in range(len(cluster.members)):
        moment = 0.0
        while (moment := moment + chance.expovariate(1 / (MEMBER_LIVES_DAYS * DAY_SECONDS))) < end:
            cluster.at(moment, cluster.lives.stop, number, "lost" if chance.random() < LOST_OF_DEATHS else "killed")
        # On Tuesdays at ten, one after the other; in a short run at noon of its first day.
        first = 1.0 + 10 / 24 if days > 2 else 0.5
        for week in range(int(days / DEPLOY_EVERY_DAYS) + 1):
            moment = (first + week * DEPLOY_EVERY_DAYS) * DAY_SECONDS + number * DEPLOY_SECONDS
            if moment < end:
                cluster.at(moment, cluster.lives.stop, number, "deploy")


def month(*, days: float, scale: float, seed: int) -> tuple[Cluster, dict[str, Any]]:
    """Runs it to its end; returns what was found. What must hold is asserted."""
    begun = time.process_time()
    plan = plan_of(scale, Random(f"plan {seed}"))
    cluster = Cluster(plan, Random(f"cluster {seed}"))
    end = days * DAY_SECONDS
    # The flood is a Wednesday's, the slow day a later Monday's, where there are so many days.
    flood = (2.0 if days >= 4 else 0.0) * DAY_SECONDS
    cluster.flood = (flood, flood + min(days, 1.0) * DAY_SECONDS)
    if days >= 14:
        slow = 7 * DAY_SECONDS
        cluster.slow = (slow, slow + DAY_SECONDS, 0)
        cluster.at(slow, cluster.lives.set_speed, 0, SLOW_TIMES)
        cluster.at(slow + DAY_SECONDS, cluster.lives.set_speed, 0, 1 / SLOW_TIMES)
    for number, each in enumerate(plan.deployments):
        cluster.feed(number, each.arrivals(Random(f"{each.name} {seed}"), begin=0.0, end=end))
        if each.tenant == plan.flooder:
            more = Random(f"{each.name} {seed} flood")
            begin, over = cluster.flood
            cluster.feed(number, each.arrivals(more, begin=begin, end=over, times=FLOOD_TIMES - 1))
    trouble(cluster, days, Random(f"trouble {seed}"))
    cluster.at(HOUR, cluster.hour, end)
    # Circles are those of members that have died: they are looked for once a day.
    gc.disable()
    try:
        cluster.run()
    finally:
        gc.enable()
    spent = time.process_time() - begun
    check(cluster)
    ledger, tally = cluster.ledger, cluster.tally
    seconds = cluster.now
    return cluster, {
        "days": days,
        "scale": scale,
        "seed": seed,
        "drained_after_days": round(seconds / DAY_SECONDS, 2),
        **tally.figures(),
        "claims": ledger.claims,
        "claims_a_second": round(ledger.claims / end, 3),
        "claims_empty_of_all": round(ledger.claims_empty / max(1, ledger.claims), 4),
        "shards_a_claim": round(ledger.shards_claimed / max(1, ledger.claims - ledger.claims_empty), 2),
        "news_reads_a_second": round(ledger.reads / end, 2),
        "open_batches_most": ledger.batches_most,
        "rows_most": ledger.rows_most,
        "puts_a_second": round(tally.puts / end, 2),
        "cpu_s": round(spent, 1),
        "us_a_shard": round(spent / max(1, tally.ended_shards) * 1e6, 1),
    }


def check(cluster: Cluster) -> None:
    """What must hold at the end; the rest was asserted on the way."""
    tally, ledger = cluster.tally, cluster.ledger
    assert not ledger.running, "a batch has not ended"
    assert not cluster.open
    assert not any(cluster.waiting), "a batch was never let in"
    assert not ledger.rows
    assert not any(cluster.held), "tokens are held of batches that have ended"
    assert tally.ended_shards == tally.shards, "a shard has not ended exactly once"
    assert not any(engine.out for engine in cluster.engines)
    assert not tally.starved, f"nothing was begun for an hour: {tally.starved[:5]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=float, default=30.0)
    parser.add_argument("--scale", type=float, default=1.0, help="of engines, tenants, members and lines")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args()
    _, found = month(days=options.days, scale=options.scale, seed=options.seed)
    text = json.dumps(found, indent=2)
    print(text)
    if options.json is not None:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
