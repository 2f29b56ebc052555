"""The engine of these tests: one vLLM for all of them. Where there can be none, they are skipped, and say why."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks.vllm.engine import FOLDER, Engine, NoEngine, attached, made, running

# Parsers of Qwen's marks, which the tokenizer has: what a random model writes is read with them.
OPTIONS = ("--reasoning-parser", "qwen3", "--enable-auto-tool-choice", "--tool-call-parser", "hermes")


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A vLLM that runs; where VLLM_ENGINE has the URL that `python -m benchmarks.vllm.engine` says, that one."""
    if url := os.environ.get("VLLM_ENGINE"):
        yield attached(url)
        return
    try:
        folder = made()
    except NoEngine as reason:
        pytest.skip(f"no vLLM here: {reason}")
    with running(tmp_path_factory.mktemp("vllm"), OPTIONS, folder=folder) as engine:
        yield engine


@pytest.fixture(scope="session")
def model() -> Path:
    """The folder of its model."""
    return FOLDER / "model"
