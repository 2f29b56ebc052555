"""What validating 100,000 lines / 200 MB costs beside one typed msgspec pass over it: `python benchmarks/validation.py`.

Each variant runs in a fresh process, interleaved, medians. CPU counts from after the imports; memory is the growth of the
peak over what the process had then. The product's pass includes all rules, duplicate ids, shards and the token count.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

from harness import big_input, median, table

VARIANTS = ("msgspec pass", "scan without tokens", "scan with tokens")


def typed_pass(path: Path) -> int:
    """The yardstick: every line decoded into typed structs, and nothing done with it."""
    import msgspec

    class Message(msgspec.Struct):
        role: str
        content: msgspec.Raw

    class Body(msgspec.Struct):
        model: str
        messages: list[Message]

    class Line(msgspec.Struct):
        custom_id: str
        method: str
        url: str
        body: Body

    decode = msgspec.json.Decoder(Line).decode
    count = 0
    with path.open("rb") as file:
        for line in file:
            decode(line)
            count += 1
    return count


def child(variant: str, path: Path) -> None:
    """Runs one variant and prints what it cost."""
    from slackwater.adapters.disk.blobs import DiskBlobs
    from slackwater.adapters.work.tiktoken_counter import TiktokenCounter
    from slackwater.core.input.line_judge import Rules
    from slackwater.core.sending.deployment import Capabilities
    from slackwater.pipeline.input.input_scan import scan_input

    blobs = DiskBlobs(path.parent)
    rules = Rules(family="azure", endpoint="/chat/completions", deployments={"bench": Capabilities()})
    counter = TiktokenCounter("o200k_base") if variant == "scan with tokens" else None
    rss = resident()
    started = time.process_time()
    tokens = 0
    if variant == "msgspec pass":
        count = typed_pass(path)
    else:
        scan = scan_input(blobs, path.name, rules, counter)
        assert not scan.errors, scan.errors
        count, tokens = scan.total, scan.tokens
    cpu = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"cpu": cpu, "growth": (peak - rss) / 2**20, "count": count, "tokens": tokens}))


def resident() -> int:
    """Bytes of this process in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--multilingual", action="store_true", help="texts in ten scripts (bar: 3 times the pass)")
    parser.add_argument("--child", nargs=2)
    args = parser.parse_args()
    if args.child:
        child(args.child[0], Path(args.child[1]))
        return
    path = big_input(text="multilingual" if args.multilingual else "")
    found: dict[str, list[dict[str, float]]] = {variant: [] for variant in VARIANTS}
    for _ in range(args.rounds):
        for variant in VARIANTS:
            command = [sys.executable, __file__, "--child", variant, str(path)]
            found[variant].append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
    middle = {
        variant: {key: median([cost[key] for cost in costs]) for key in costs[0]} for variant, costs in found.items()
    }
    floor = middle["msgspec pass"]["cpu"]
    rows = [
        (
            variant,
            f"{cost['cpu']:.3f}",
            f"{cost['cpu'] / floor:.2f}",
            f"{cost['growth']:.1f}",
            f"{cost['tokens']:,.0f}",
        )
        for variant, cost in middle.items()
    ]
    print(f"{path.name}: {path.stat().st_size:,} bytes, {middle['msgspec pass']['count']:,} lines")
    print(table(("variant", "CPU s", "x msgspec pass (at most 2.5)", "peak growth MiB (under 64)", "tokens"), rows))


if __name__ == "__main__":
    main()
