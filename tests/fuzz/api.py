"""Property-based fuzzing of the HTTP API on its own document: `python -m tests.fuzz.api --requests 20000`.

Requests are made from /openapi.json, half of them as the document allows, half as it forbids. Ids from earlier answers take
the place of made-up ones every other time, so that operations meet objects that are there, that run, and that have gone.
Every answer is held against the document: status, media type, headers, schema, and no 5xx. The same seed asks the same
questions; which ids there are depends on the server, so a failure is printed as a curl line.
"""

import random
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import hypothesis
import requests
import schemathesis
from hypothesis import HealthCheck, Phase
from msgspec import Struct, field
from schemathesis.checks import CHECKS, load_all_checks

from tests.contract.exchange import House, chat
from tests.fuzz.leaks import leaks, tidy
from tests.server import Server

CONFIG = """
[limits]
lasting_files = 0
expiring_files = 0
upload_bytes = 1000000
[imports]
enabled = true
hosts = ["127.0.0.1:9"]
allow_http = true
allow_private_addresses = true
[[deployments]]
name = "quick"
[[deployments.backends]]
echo = {}
concurrency = 8
[[deployments]]
name = "slow"
[[deployments.backends]]
echo = { latency_seconds = 0.05, error_rate = 0.2 }
concurrency = 8
attempts = 1
"""
CHECKED = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
)
MODES = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
# Which kind of id a parameter takes.
KINDS = {
    "file_id": "file",
    "input_file_id": "file",
    "batch_id": "batch",
    "upload_id": "upload",
    "part_ids": "part",
}
WORDS: dict[str, tuple[Any, ...]] = {
    "api-version": ("2024-10-21", "2025-04-01-preview"),
    "endpoint": ("/chat/completions", "/v1/chat/completions", "/v1/embeddings"),
    "completion_window": ("24h",),
    "purpose": ("batch", "fine-tune"),
    "content_url": ("http://127.0.0.1:9/in.jsonl",),
    "metadata": ({"team": "tides"},),
    "bytes": (0, 1, 5),
    "$filter": ("status eq 'Completed'", "created_at gt 1 and status ne 'in_progress'", "created_at"),
    "$orderby": ("created_at asc", "created_at desc"),
}
# Questions of one kind in a row; small, so that operations meet each other's objects.
ROW = 10
# So many ids of a kind are remembered for asking.
REMEMBERED_MAX = 30


class Outcome(Struct):
    """What a storm found."""

    requests: int = 0
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    faults: dict[str, str] = field(default_factory=dict)
    """One example for each kind of fault, as a curl line below what is wrong with the answer."""
    stuck: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    @property
    def fine(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults and not self.stuck and not self.left


class Storm:
    """Asks a server, and remembers what it says."""

    def __init__(self, server: Server, *, seed: int, row: int = ROW) -> None:
        """`row`: so many questions of one kind after each other. A short storm needs short ones, to come to every operation."""
        self._row = row
        self._server = server
        self._random = random.Random(seed)
        self._seed = seed
        self._session = requests.Session()
        load_all_checks()
        self._checks: list[Any] = list(CHECKS.get_by_names(list(CHECKED)))
        document = self._session.get(f"http://{server.address}/openapi.json").json()
        read: list[Any] = list(schemathesis.openapi.from_dict(document).get_all_operations())
        self._operations = [operation.ok() for operation in read]
        self._known: dict[str, list[str]] = defaultdict(list)
        self.uploads: set[str] = set()
        self.outcome = Outcome()

    def rage(self, count: int) -> None:
        """At least so many requests, over every operation and in both modes."""
        row = 0
        while self.outcome.requests < count:
            self._prepare()
            pairs = [(operation, mode) for operation in self._operations for mode in MODES]
            self._random.shuffle(pairs)
            for operation, mode in pairs:
                if self.outcome.requests >= count:
                    break
                row += 1
                self._ask_in_a_row(operation, mode, row)

    def _prepare(self) -> None:
        """Something that the questions can be about: an input file and a batch of each family."""
        for family, model in (("A", "quick"), ("V", "slow"), ("O", "quick")):
            house = House(self._server, family)
            file_id = house.file(chat(3, model=model, url=house.endpoint))
            self._remember({"id": file_id})
            self._remember(house.create(file_id).json)

    def _ask_in_a_row(self, operation: Any, mode: schemathesis.GenerationMode, row: int) -> None:
        @hypothesis.seed(self._seed * 1_000_003 + row)
        @hypothesis.settings(
            max_examples=self._row,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: schemathesis.Case[Any]) -> None:
            self._ask(case)

        try:
            ask()
        except hypothesis.errors.Unsatisfiable:
            # Nothing can be wrong with an operation that takes nothing.
            pass

    def _ask(self, case: schemathesis.Case[Any]) -> None:
        self._use_known_words(case)
        response = case.call(base_url=f"http://{self._server.address}", session=self._session, timeout=30)
        self.outcome.requests += 1
        self.outcome.statuses[case.operation.label, response.status_code] += 1
        try:
            case.validate_response(response, checks=self._checks)
        except schemathesis.core.failures.FailureGroup as group:
            for fault in group.exceptions:
                kind = f"{case.operation.label}: {response.status_code}: {type(fault).__name__}"
                self.outcome.faults.setdefault(kind, str(fault) + "\n" + case.as_curl_command())
        if response.status_code < 300 and "json" in response.headers.get("content-type", ""):
            self._remember(response.json())

    def _use_known_words(self, case: schemathesis.Case[Any]) -> None:
        """Every other time, ids that the server has said, and values that it takes: chance alone never gets far."""
        for place in (case.path_parameters, case.query, case.body):
            if not isinstance(place, dict):
                continue
            for name in place:
                if name == "after":
                    known: Sequence[Any] = self._known["batch" if "batches" in case.operation.path else "file"]
                elif name in KINDS:
                    known = self._known[KINDS[name]]
                else:
                    known = WORDS.get(name, ())
                if name == "api-version" and case.operation.path.startswith("/openai/v1"):
                    known = ("v1", "preview")
                if known and self._random.random() < 0.5:
                    chosen = self._random.choice(known)
                    place[name] = [chosen] if name == "part_ids" else chosen

    def _remember(self, body: Any) -> None:
        if not isinstance(body, dict) or not isinstance(body.get("id"), str):
            return
        kind = "part" if "upload_id" in body else body["id"].partition("_")[0].partition("-")[0]
        if kind == "upload":
            self.uploads.add(body["id"])
        self._known[kind] = [*self._known[kind][-REMEMBERED_MAX:], body["id"]]


@contextmanager
def server_for_fuzzing(directory: Path) -> Iterator[Server]:
    """A server that takes what comes."""
    (directory / "slackwater.toml").write_text(CONFIG)
    server = Server(directory / "slackwater.toml", directory / "data", directory / "server.log")
    try:
        yield server
    finally:
        server.kill()


def fuzz(directory: Path, *, count: int, seed: int, row: int = ROW) -> Outcome:
    """A storm of requests against a new server, and a look at what it leaves behind."""
    with server_for_fuzzing(directory) as server:
        storm = Storm(server, seed=seed, row=row)
        storm.rage(count)
        storm.outcome.stuck = tidy(server.address, storm.uploads)
        storm.outcome.left = leaks(directory / "data")
        return storm.outcome


@click.command()
@click.option("--requests", "count", default=20_000, show_default=True, help="How many to send, at least.")
@click.option("--seed", default=0, show_default=True, help="The same seed asks the same questions.")
def main(count: int, seed: int) -> None:
    """Fuzzes the API on its own document and prints how often each status came."""
    warnings.filterwarnings("ignore", module="schemathesis")
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        outcome = fuzz(Path(directory), count=count, seed=seed)
    totals: Counter[int] = Counter()
    for (label, status), number in sorted(outcome.statuses.items()):
        totals[status] += number
        click.echo(f"{number:7,}  {status}  {label}")
    for kind, example in outcome.faults.items():
        click.echo(f"\nFAULT {kind}\n{example}")
    click.echo("\n" + "  ".join(f"{status}: {number:,}" for status, number in sorted(totals.items())))
    click.echo(
        f"{outcome.requests:,} requests in {time.monotonic() - begun:.0f} s, {len(outcome.faults)} kinds of fault"
    )
    click.echo(f"stuck batches: {outcome.stuck or 'none'}; left behind: {outcome.left or 'nothing'}")
    raise SystemExit(0 if outcome.fine else 1)


if __name__ == "__main__":
    main()
