"""The image, as far as that can be tried without a container engine: what it is built of, and what is in it then."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTAINERFILE = (ROOT / "deploy" / "container" / "Containerfile").read_text("utf-8")
# What the configuration may name that needs more packages: blocklists, a database, an object store.
LIBRARIES = ("daachorse", "re2", "psycopg", "obstore")


def copied() -> list[str]:
    """What the first stage has of the checkout."""
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", CONTAINERFILE, re.MULTILINE)
    return [name for line in lines for name in line.split()]


def test_what_is_copied_is_let_in() -> None:
    """`.dockerignore` leaves out all but what it names."""
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")}
    assert let_in == set(copied())
    for name in re.findall(
        r'"(\w+)"', re.findall(r"license-files = (\[.*\])", (ROOT / "pyproject.toml").read_text())[0]
    ):
        assert name in let_in


@pytest.mark.deploy
@pytest.mark.timeout(600)
def test_it_can_be_built_and_has_all_libraries(tmp_path: Path) -> None:
    """Its own pip line, over what is copied and nothing else, in an environment of its own."""
    source, made = tmp_path / "source", tmp_path / "made"
    source.mkdir()
    for name in copied():
        path = ROOT / name
        shutil.copytree(path, source / name) if path.is_dir() else shutil.copy(path, source)
    (line,) = re.findall(r"/opt/slackwater/bin/pip (install .+)$", CONTAINERFILE, re.MULTILINE)
    subprocess.run([sys.executable, "-m", "venv", made], check=True, timeout=120)
    arguments = [word.strip("'") for word in line.split()]
    installed = subprocess.run(
        [made / "bin" / "pip", *arguments], cwd=source, capture_output=True, text=True, timeout=500
    )
    assert installed.returncode == 0, installed.stderr
    looked = [made / "bin" / "python", "-c", f"import slackwater.cli, {', '.join(LIBRARIES)}"]
    assert subprocess.run(looked, cwd=tmp_path, timeout=60).returncode == 0
