"""What was mended in an answer, read by Node: JSON.parse is the strictest reader that our users have."""

import subprocess

import pytest

from tests.core.test_answers import GOOD, answered

pytestmark = pytest.mark.clients


def test_node_reads_what_was_mended() -> None:
    """Halves of emoji, bytes that are not UTF-8, NaN and a byte order mark leave valid JSON behind."""
    bodies = [
        GOOD.replace(b'"X"', rb'"a\ud83d\ud83d\ude00 \\ud83d"'),
        GOOD.replace(b'"X"', b'"\xff\xed\xa0\xbd caf\xe9"'),
        GOOD.replace(b'"X"', b'[NaN, -Infinity,\n"NaN"]'),
        b"\xef\xbb\xbf" + GOOD,
    ]
    lines = b"\n".join(answered(body).body for body in bodies)
    program = "require('fs').readFileSync(0,'utf8').split('\\n').forEach(line=>JSON.parse(line).choices[0].message)"
    subprocess.run(["node", "-e", program], input=lines, check=True, timeout=60)
