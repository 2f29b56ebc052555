"""What a batch does to the online users of a real vLLM, for each pace: pairs of rounds without and beside it.

    python benchmarks/vllm/pairs.py [--arms gentle,strict] [--arm 'NAME=LINES'] [--pairs 3] [--long 0.25]
        [--rate USERS] [--warm SECONDS] [--json FILE] [--engine URL]

The engine is vLLM with an accelerator's step times (`engine.py`). Users come at 34 % of what it can do. Both rounds of a pair
have the same users, and follow each other; the pairs of all arms take turns. A round counts once its users have come for ten
seconds (`--warm`), eight of them beside the batch. `--arm` adds an arm by lines of `[[engines]]`,
`--long` is the share of batch prompts with 1,600 tokens, `--json` adds the pairs to those of a file, `--engine` is one that
`python -m benchmarks.vllm.engine` runs. Ratios are medians over the pairs, with the least and the most. Ends with 77 and the
reason where there can be no engine here, or this machine is too busy to say anything.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from benchmarks.harness import table
from benchmarks.vllm.arms import ARMS
from benchmarks.vllm.engine import CANNOT, FOLDER, PROFILE, SLOWER, Engine, NoEngine, attached, made, running
from benchmarks.vllm.figures import FELT, fixed_at, ratios
from benchmarks.vllm.online import asks
from benchmarks.vllm.rounds import FELT_FROM, FELT_SECONDS, LATE_SHARE, TooBusy, calm, capacity, play_round

# Of what the engine can do, in requests of online users.
SHARE = 0.34
Pair = dict[str, Any]


def main() -> None:
    options = _options()
    try:
        with ExitStack() as stack:
            calm()
            if options.engine:
                engine = attached(options.engine)
            else:
                scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                engine = stack.enter_context(running(scratch, folder=made()))
            words = json.loads((FOLDER / "model" / "words.json").read_text())
            pairs = known(options.json)
            asyncio.run(play_pairs(engine, words, options, pairs))
    except (NoEngine, TooBusy) as reason:
        print(reason, file=sys.stderr)
        sys.exit(CANNOT)
    print(report(pairs))


def known(path: Path | None) -> list[Pair]:
    """The pairs that a file has."""
    return json.loads(path.read_text())["pairs"] if path is not None and path.exists() else []


async def play_pairs(engine: Engine, words: Sequence[str], options: argparse.Namespace, pairs: list[Pair]) -> None:
    """Adds theirs to the pairs, and to the file after each."""
    rate = options.rate or SHARE * await capacity(engine, words)
    print(f"users come at {rate:.2f} a second", flush=True)
    for _ in range(options.pairs):
        for name, lines in options.arms.items():
            # Each arm goes on where it was: its first pair has the same users as that of any other.
            turn = sum((pair["arm"], pair["long"]) == (name, options.long) for pair in pairs)
            coming = asks(words, rate=rate, seconds=options.warm + FELT_SECONDS, seed=100 + turn)
            without = await play_round(engine, coming, words, None, felt_from=options.warm)
            beside = await play_round(engine, coming, words, lines, long=options.long, felt_from=options.warm)
            pair = {"arm": name, "long": options.long, "turn": turn, "rate": round(rate, 2), "warm": options.warm}
            pair |= {"without": trimmed(without), "beside": trimmed(beside)}
            if options.trace:
                pair["states"] = beside["states"]
            print(line_of(pair), flush=True)
            late = max(without["late_steps"], beside["late_steps"])
            if late > LATE_SHARE:
                print(f"  left out: {late:.0%} of the engine's steps were late themselves", flush=True)
                continue
            pairs.append(pair)
            if options.json is not None:
                write(options.json, pairs)


def trimmed(figures: Pair) -> Pair:
    """What is kept of a round: seconds with a tenth of a millisecond."""
    kept = {name: round(value, 4) for name, value in figures.items() if name != "states"}
    windows = [state["window"] or state["in_flight"] for state in figures["states"]]
    frozen = [bool(state.get("frozen")) for state in figures["states"]]
    if windows:
        kept |= {"window": round(sum(windows) / len(windows), 1), "frozen": round(sum(frozen) / len(frozen), 2)}
    return kept


def line_of(pair: Pair) -> str:
    """One pair, while it runs."""
    without, beside = pair["without"], pair["beside"]
    felt = "  ".join(f"{name} {without[name] * 1e3:.0f} -> {beside[name] * 1e3:.0f} ms" for name in FELT)
    batch = f"{beside['batch_tokens_per_second']:.0f} batch tokens/s, window {beside.get('window')}"
    return f"{pair['turn']} {pair['arm']:9} {felt}  {batch}, late {beside['late_steps']:.0%}"


def write(path: Path, pairs: Sequence[Pair]) -> None:
    """The file: a pair on each line."""
    about = {"command": "python benchmarks/vllm/pairs.py", "profile": PROFILE, "slower": SLOWER, "share": SHARE}
    lines = ",\n".join(json.dumps(pair) for pair in pairs)
    path.write_text(f'{json.dumps(about)[:-1]}, "pairs": [\n{lines}\n]}}\n')


def summary(pairs: Sequence[Pair]) -> dict[tuple[float, str], dict[str, Any]]:
    """Ratios of each arm, by the share of long prompts and the name, beside the fixed window that does as much to users."""
    kinds = dict.fromkeys((pair["long"], pair["arm"]) for pair in pairs)
    rows = {
        (long, arm): ratios(
            [(pair["without"], pair["beside"]) for pair in pairs if (pair["long"], pair["arm"]) == (long, arm)]
        )
        for long, arm in kinds
    }
    for (long, _), row in rows.items():
        fixed = [
            (other["tpot_p50"]["x"], other["batch_tokens_per_second"])
            for (also, arm), other in rows.items()
            if also == long and arm.startswith("fixed-")
        ]
        if fixed:
            row["of_fixed"] = row["batch_tokens_per_second"] / max(1.0, fixed_at(row["tpot_p50"]["x"], fixed))
    return rows


def report(pairs: Sequence[Pair]) -> str:
    """A table of ratios."""
    cells = []
    for (long, arm), row in summary(pairs).items():
        felt = [f"{row[name]['x']:.2f} ({row[name]['least']:.2f}-{row[name]['most']:.2f})" for name in FELT]
        of_fixed = f"{row['of_fixed']:.2f}" if "of_fixed" in row else "-"
        cells.append([arm, f"{long:.0%}", row["pairs"], *felt, f"{row['batch_tokens_per_second']:.0f}", of_fixed])
    header = [
        "arm",
        "long",
        "pairs",
        *(f"x {name}" for name in FELT),
        "batch tokens/s",
        "of the fixed window with its TPOT",
    ]
    return table(header, cells)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--arm", action="append", default=[], help="NAME=LINES of [[engines]]")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--long", type=float, default=0.0)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--warm", type=float, default=FELT_FROM)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--engine", default="")
    parser.add_argument(
        "--trace", action="store_true", help="keep how the engine was paced in the file, twice a second"
    )
    options = parser.parse_args()
    arms = {name: ARMS[name] for name in options.arms.split(",") if name}
    options.arms = arms | dict(each.split("=", 1) for each in options.arm)
    return options


if __name__ == "__main__":
    main()
