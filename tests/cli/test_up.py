"""Workers on a Ray cluster, as somebody hears of them who has no cluster, or no Ray. What they do is in tests/on_ray."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from slackwater.cli import main

# What `import ray` does where it is not installed.
WITHOUT = "import sys; sys.modules['ray'] = None; from slackwater.cli import main; main(sys.argv[1:])"
MISSING = "error: Ray is not installed here: pip install '.[ray]' in a checkout of Slackwater\n"


def config(folder: Path, server: str) -> str:
    """A configuration with that in [server]."""
    path = folder / "slackwater.toml"
    path.write_text(f"[server]\n{server}\n")
    return str(path)


def test_no_server_or_worker_loads_ray() -> None:
    """Nor what is ours of it, whether it is installed or not: `up` and `down` do, once they enter a cluster."""
    asked = (
        "import slackwater.cli.serve, slackwater.cli.run, slackwater.cli.worker, slackwater.cli.up, slackwater.cli.down, sys; "
        "print([name for name in sys.modules if name.split('.')[0] == 'ray' or 'adapters.ray' in name])"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("words", [["up", "--status"], ["down"], ["up", "-c"]])
def test_without_ray(tmp_path: Path, words: list[str]) -> None:
    """One line says what to install."""
    if words[-1] == "-c":
        words = [*words, config(tmp_path, 'data = "/shared"\ndatabase = "postgresql://db.internal/slackwater"')]
    done = subprocess.run([sys.executable, "-c", WITHOUT, *words], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", MISSING)


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ('data = "/shared"', "processes on several machines need a ledger that all of them reach: name database"),
        ('database = "postgresql://db.internal/slackwater"', "processes on several machines need one data directory"),
        (
            'database = "postgresql://db.internal/slackwater"\nfiles = "s3://bucket/prefix"\ndata = "here"',
            "processes on several machines need one data directory, also where files are in an object store",
        ),
        ('databse = "postgresql://db.internal/slackwater"', "databse"),
    ],
)
def test_a_configuration_of_one_machine(tmp_path: Path, server: str, said: str) -> None:
    """It is refused before anybody looks for a cluster."""
    done = CliRunner().invoke(main, ["up", "-c", config(tmp_path, server)])
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [["up"], ["up", "--status", "-c", "any.toml"], ["down", "--node", "here", "--now"], ["up", "--engine", "k8s"]],
)
def test_wrong_usage(words: list[str]) -> None:
    assert CliRunner().invoke(main, words).exit_code == 2
