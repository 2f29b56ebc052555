"""Several servers of ours at one engine, beside online users and without any.

    python benchmarks/coserving/together.py [--scenarios S1-steady40,S4-onoff] [--servers 1,2,3] [--seeds N] [--pace gentle]
        [--hears yes,late,no]

`hears`: they hear each other, as on one host; `late`: once a second, as members of a cluster on several hosts do. Otherwise each
takes the others for online users, as servers on hosts that share neither memory nor a ledger.
Virtual time on the product's model of an engine, as in run.py.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from benchmarks.coserving.gateway import VirtualGateway
from benchmarks.coserving.kernel import Kernel
from benchmarks.coserving.late_product import LateProduct
from benchmarks.coserving.measuring import Figures, arrivals_of, offer, online_figures, requests_of
from benchmarks.coserving.product import Product
from benchmarks.coserving.scenarios import BY_NAME, LAST_SECONDS, WARM_UP_SECONDS, Scenario
from benchmarks.coserving.virtual_engine import VirtualEngine
from benchmarks.coserving.workload import Backlog

from slackwater.adapters.modelled_engine.shipped import profile_named
from slackwater.core.engine_model import EngineModel
from slackwater.core.sending.late_peers import FarPeer
from slackwater.core.sending.pacing import Pacer
from slackwater.core.sending.peers import Word
from slackwater.core.sending.step_target import Point, StepTarget


def together(
    scenario: Scenario,
    begins: Sequence[float],
    *,
    seed: int = 0,
    point: str = "gentle",
    hears: bool = True,
    late: bool = False,
    ahead: float = 0.0,
    crowd: bool = True,
) -> Figures:
    """What online users and each server get, from a minute after the last of them has begun. `begins` has when each does.

    `crowd`: whether there are online users at all. `late`: they are on several hosts, and hear each other once a second; the
    clock of each is so far `ahead` of that of the one before. `rates`: batch tokens a second of each; `sum` of these; `jain`, 1.0
    where all have the same, down to 1 / servers where one has everything; and what `measuring.online_figures` has.
    """
    kernel = Kernel()
    engine = VirtualEngine(kernel, EngineModel(profile_named(scenario.profile)))
    traffic = offer(kernel, engine, requests_of(arrivals_of(scenario, seed)) if crowd else [])
    board: dict[str, Word] = {}
    ledger: dict[str, FarPeer] = {}

    def product(number: int) -> Product:
        pacer = Pacer(StepTarget(Point(point), scenario.slo))
        if late:
            return LateProduct(pacer, ledger=ledger, ahead=(number - 1) * ahead)
        return Product(pacer, board=board if hears else None)

    gateways = [
        VirtualGateway(
            kernel,
            engine,
            product(number),
            Backlog(scenario.batch, seed=seed + number, name=f"b{number} "),
            name=f"server {number}",
            begins=at,
        )
        for number, at in enumerate(begins, 1)
    ]
    begin = max(begins, default=0.0) + WARM_UP_SECONDS
    kernel.run(begin)
    before = [gateway.tally.tokens for gateway in gateways]
    kernel.run(scenario.seconds)
    seconds = scenario.seconds - begin
    rates = [(gateway.tally.tokens - tokens) / seconds for gateway, tokens in zip(gateways, before, strict=True)]
    figures = online_figures(traffic, begin, scenario.seconds - LAST_SECONDS) if crowd else {}
    return {"rates": rates, "sum": sum(rates), "jain": jain(rates), **figures}


def jain(rates: Sequence[float]) -> float:
    """Jain's index of fairness."""
    squares = sum(rate * rate for rate in rates)
    return sum(rates) ** 2 / len(rates) / squares if squares else 1.0


HOW = {"yes": {"hears": True}, "late": {"late": True}, "no": {"hears": False}}
WORDS = {"yes": "hear", "late": "late", "no": "deaf"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--scenarios", default="S1-steady40,S4-onoff")
    parser.add_argument("--servers", default="1,2,3")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--pace", default="gentle")
    parser.add_argument("--hears", default="yes,late,no")
    options = parser.parse_args()
    options.hears = options.hears.split(",")
    counts = [int(count) for count in options.servers.split(",")]
    for seed in range(options.seeds):
        for name in options.scenarios.split(","):
            scenario = BY_NAME[name]
            off = together(scenario, (), seed=seed)
            one = together(scenario, (0.0,), seed=seed, point=options.pace)["sum"]
            for hears in options.hears:
                for begins in ([0.0] * count for count in counts):
                    found = together(scenario, begins, seed=seed, point=options.pace, **HOW[hears])
                    ratios = "   ".join(f"x {key} {found[key] / off[key]:.2f}" for key in ("ttft_p99", "tpot_p99"))
                    _say(name, seed, len(begins), hears, found, one, ratios)
        idle = replace(BY_NAME["S1-steady40"], seconds=400.0)
        one = together(idle, (0.0,), seed=seed, point=options.pace, crowd=False)["sum"]
        for hears in options.hears:
            for begins in ([0.0] * count for count in counts):
                found = together(idle, begins, seed=seed, point=options.pace, crowd=False, **HOW[hears])
                _say("nobody else", seed, len(begins), hears, found, one, "")


def _say(name: str, seed: int, count: int, hears: str, found: Figures, one: float, ratios: str) -> None:
    said = f"{name:12s} seed {seed}  {count} {WORDS[hears]}"
    print(f"{said}  of one {100 * found['sum'] / one:4.0f} %   jain {found['jain']:.2f}   {ratios}", flush=True)


if __name__ == "__main__":
    main()
