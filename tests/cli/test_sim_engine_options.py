"""The options of `slackwater sim-engine`: what it lists, and what it says of wrong ones."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SIM_ENGINE = [sys.executable, "-m", "slackwater", "sim-engine"]
PROFILES = Path(__file__).parents[2] / "src/slackwater/adapters/modelled_engine/profiles"


def test_the_profiles_are_listed() -> None:
    """Each with where its numbers come from."""
    done = subprocess.run([*SIM_ENGINE, "--profiles"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert sorted(re.findall(r"^([\w-]+): ", done.stdout, re.MULTILINE)) == sorted(
        path.stem for path in PROFILES.glob("*.toml")
    )
    assert done.stdout.count("vidur") == 4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--profile", "b200"],
            "no profile and no file 'b200'; the profiles are a100-8b, a100-40g, h100-8b, h100-70b-tp8",
        ),
        (["--profile", "broken.toml"], "broken.toml cannot be read as TOML"),
        (["--profile", "wrong.json"], "wrong.json: capacity.kv_tokens must be a whole number"),
        (["--online", "azure-conv"], "online traffic is KIND:RATE"),
        (["--online", "tides:3"], "KIND one of azure-conv, azure-code, poisson"),
        (["--time-scale", "0"], "--time-scale"),
        (["--time-scale", "nan"], "nan is not a number"),
        (["--die-every", "nan"], "nan is not a number"),
        (["--max-waiting", "-1"], "--max-waiting"),
    ],
)
def test_wrong_options(tmp_path: Path, options: list[str], said: str) -> None:
    """One line that says what is expected, and exit code 2."""
    (tmp_path / "broken.toml").write_text("name = ")
    (tmp_path / "wrong.json").write_text('{"name": "wrong"}')
    done = subprocess.run(
        [*SIM_ENGINE, "--port", "0", *options], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert said in done.stderr
