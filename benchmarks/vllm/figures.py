"""What is made of the figures of a run: ratios of pairs, and the fixed window that does as much to online users."""

import statistics
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

FELT = ("ttft_p50", "ttft_p95", "tpot_p50", "itl_p99")
Segment = Mapping[str, Any]


def quantile(values: Sequence[float], share: float) -> float:
    """The value that this share of them is not above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def ratios(pairs: Sequence[tuple[Segment, Segment]]) -> dict[str, Any]:
    """Of pairs (without, beside a batch): the median ratio of what was felt, with the least and the most, and tokens a second."""
    row: dict[str, Any] = {"pairs": len(pairs)}
    for name in FELT:
        each = [beside[name] / without[name] for without, beside in pairs]
        row[name] = {"x": statistics.median(each), "least": min(each), "most": max(each)}
    row["batch_tokens_per_second"] = statistics.mean(beside["batch_tokens_per_second"] for _, beside in pairs)
    return row


def fixed_at(tpot: float, fixed: Sequence[tuple[float, float]]) -> float:
    """Batch tokens a second of the fixed window whose TPOT ratio is `tpot`, on straight lines between those that were tried.

    `fixed` has (TPOT ratio, tokens a second) of each; none in flight is (1, 0). Beyond the last, its line goes on.
    """
    points = sorted([(1.0, 0.0), *fixed])
    if tpot <= points[0][0]:
        return points[0][1]
    between = (each for each in pairwise(points) if each[0][0] < tpot <= each[1][0])
    (low, least), (high, most) = next(between, (points[-2], points[-1]))
    return least + (most - least) * (tpot - low) / (high - low) if high > low else most
