"""The model of an engine and the benchmark's gateway against figures of an earlier simulator, which was written separately."""

import json
from pathlib import Path

import pytest
from benchmarks.coserving.measuring import measure
from benchmarks.coserving.rivals import Fixed
from benchmarks.coserving.scenarios import BY_NAME

from tests.chosen import one_in

REFERENCE = json.loads((Path(__file__).parent / "reference.json").read_text("utf-8"))["cells"]
CLOSE = 0.03


@pytest.mark.parametrize("cell", one_in(3, list(REFERENCE)))
def test_fixed_windows_are_what_the_reference_says(cell: str) -> None:
    """Batch tokens, and online TTFT and TPOT, are within 3 % of the reference."""
    name, limit = cell.split()
    found = measure(BY_NAME[name], Fixed(int(limit)))
    for figure, expected in REFERENCE[cell].items():
        assert found[figure] == pytest.approx(expected, rel=CLOSE), figure
