"""Engines with few slots, or with a small cache and long answers: what online users feel of a batch there.

    python benchmarks/coserving/small.py

Virtual time on the product's model of an engine, as in run.py. Its page says neither how many slots it has nor how long
answers will be.
"""

import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from benchmarks.coserving.gateway import VirtualGateway
from benchmarks.coserving.kernel import Kernel
from benchmarks.coserving.measuring import Figures, offer, online_figures, requests_of
from benchmarks.coserving.policy import Policy
from benchmarks.coserving.product import product
from benchmarks.coserving.scenarios import LAST_SECONDS, WARM_UP_SECONDS
from benchmarks.coserving.virtual_engine import VirtualEngine
from benchmarks.coserving.workload import Backlog, online

from slackwater.adapters.modelled_engine.shipped import profile_named
from slackwater.core.engine_model import EngineModel

SECONDS = 900.0


def small(
    policy: Policy, *, rate: float, slots: int = 256, kv_tokens: int = 430_000, batch: str = "balanced", seed: int = 0
) -> Figures:
    """An A100 with so many slots and so large a cache, beside `rate` online requests a second (0.0: nobody).

    `batch_tok_s`, `preemptions`, and what `measuring.online_figures` has.
    """
    kernel = Kernel()
    profile = replace(profile_named("a100-8b"), max_num_seqs=slots, kv_tokens=kv_tokens)
    engine = VirtualEngine(kernel, EngineModel(profile))
    arrivals = online("azure-conv", rate, SECONDS, seed=seed) if rate else []
    traffic = offer(kernel, engine, requests_of(arrivals))
    gateway = VirtualGateway(kernel, engine, policy, Backlog(batch, seed=seed + 1))
    kernel.run(WARM_UP_SECONDS)
    before = gateway.tally.tokens
    kernel.run(SECONDS)
    return {
        "batch_tok_s": (gateway.tally.tokens - before) / (SECONDS - WARM_UP_SECONDS),
        "preemptions": engine.model.counters.preemptions,
        **(online_figures(traffic, WARM_UP_SECONDS, SECONDS - LAST_SECONDS) if rate else {}),
    }


CASES: dict[str, dict[str, float | int | str]] = {
    "8 slots": {"slots": 8, "rate": 0.15},
    "16 slots": {"slots": 16, "rate": 0.3},
    "32 slots": {"slots": 32, "rate": 0.6},
    "60,000 tokens of cache, long answers": {"kv_tokens": 60_000, "rate": 1.0, "batch": "generate"},
    "30,000 tokens of cache, long answers": {"kv_tokens": 30_000, "rate": 1.0, "batch": "generate"},
}


def main() -> None:
    for name, case in CASES.items():
        off, on = (small(policy, **case) for policy in (Policy(), product("gentle", 0.05)))  # type: ignore[arg-type]
        ratios = "   ".join(
            f"x {key} {on[key] / off[key]:.2f}" for key in ("ttft_p50", "ttft_p95", "ttft_p99", "tpot_p99")
        )
        print(
            f"{name:38s} batch {on['batch_tok_s']:5.0f} tok/s   preemptions {on['preemptions']:4d}   {ratios}",
            flush=True,
        )


if __name__ == "__main__":
    main()
