"""Writes docs/compatibility.md from the tests that carry the `contract` marker and from docs/compatibility.toml.

A test says what it proves: `@pytest.mark.contract("A.3", "AV GET /files")` is point 3 of the contract's Appendix A and an
operation in two families. What the page claims must be shown: an operation that works, a difference and a point each need
a test, and what the service does not have needs a reason. `draw_compatibility.py --check` fails where something is missing.
"""

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from slackwater.api.dialects import ARM, AZURE, AZURE_V1, OPENAI
from slackwater.api.operations import OPERATIONS
from slackwater.core.endpoints import REQUIRED_KEY

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "compatibility.md"
FACTS = ROOT / "docs" / "compatibility.toml"
FAMILIES = {"A": AZURE, "V": AZURE_V1, "O": OPENAI, "M": ARM}
HEAD = """# Compatibility

What of the Batch APIs of Azure OpenAI and OpenAI works here, operation by operation, and which tests show it. Families of
clients: **A** is Azure with dated versions (`/openai/...?api-version=`), **V** Azure v1 (`/openai/v1`), **O** OpenAI (`/v1`),
**M** Azure's control plane (`/subscriptions/.../providers/Microsoft.CognitiveServices/accounts/...`).
Every recording of the two services in `tests/samples` is replayed, and `make test-description` holds the answers against
Microsoft's own description of the operations.
This page is drawn by `scripts/draw_compatibility.py` from the tests and from `compatibility.toml`.
"""
VENDORS = """“Batch” is an endpoint that the vendor lists for its batches: OpenAI in its
[Batch guide](https://developers.openai.com/api/docs/guides/batch) and in openai-python 3.54.0 (17 November 2026), Azure in
[its page on batches](https://learn.microsoft.com/azure/foundry/openai/how-to/batch) (19 March 2026). What lines and answers look
like is in [the API](api.md#endpoints-inside-a-batch).
"""


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """An operation of the contract, and the families whose vendors have it."""

    path: str
    does: str
    families: str


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Where we are not like the vendor, and the test that shows how we are."""

    path: str
    families: str
    says: str
    shown_by: str


class NotOffered(msgspec.Struct, frozen=True, kw_only=True):
    """What there is not, and why."""

    path: str
    families: str
    why: str


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint that lines of a batch may ask for, the vendors who have it there, and the test that shows ours."""

    path: str
    vendors: str
    says: str
    shown_by: str


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A point of Appendix A."""

    number: int
    says: str


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """docs/compatibility.toml."""

    operations: list[Listed]
    differences: list[Difference]
    not_offered: list[NotOffered]
    endpoints: list[Endpoint]
    points: list[Point]


def tests() -> dict[str, list[str]]:
    """Every test by its id, with what it is marked to prove."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                found[f"{path.relative_to(ROOT).as_posix()}::{node.name}"] = list(_proved(node.decorator_list))
    return found


def _proved(decorators: list[ast.expr]) -> Iterator[str]:
    for decorator in decorators:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.contract":
            yield from (ast.literal_eval(argument) for argument in decorator.args)


class Page:
    """The page, and what is wrong with its claims."""

    def __init__(self) -> None:
        self._facts = msgspec.convert(tomllib.loads(FACTS.read_text("utf-8")), Facts)
        self._tests = tests()
        self.faults = list(self._look())

    def _proving(self, family: str, path: str) -> list[str]:
        """Tests that are marked with an operation in a family."""
        return [
            test
            for test, proved in self._tests.items()
            for families, _, operation in [each.partition(" ") for each in proved]
            if operation == path and family in families
        ]

    def _of_point(self, number: int) -> list[str]:
        return [test for test, proved in self._tests.items() if f"A.{number}" in proved]

    def _marked(self, facts: list[Any], family: str, path: str) -> list[int]:
        """Numbers, from 1, of the differences or the missing things that an operation has in a family."""
        return [number for number, fact in enumerate(facts, 1) if fact.path == path and family in fact.families]

    def _look(self) -> Iterator[str]:
        """What is claimed and not shown, or shown and not known."""
        known = {listed.path for listed in self._facts.operations}
        for listed in self._facts.operations:
            for family in listed.families:
                missing = bool(self._marked(self._facts.not_offered, family, listed.path))
                if missing == _served(family, listed.path):
                    yield f"{family} {listed.path}: " + (
                        "listed as not offered, but served" if missing else "not served"
                    )
                if not missing and not self._proving(family, listed.path):
                    yield f"{family} {listed.path}: no test is marked with it"
            served = [family for family in FAMILIES if _served(family, listed.path)]
            if not listed.families and not any(self._proving(family, listed.path) for family in served):
                yield f"{listed.path}: no test is marked with it in a family that has it"
        for difference in self._facts.differences:
            if difference.shown_by not in self._tests:
                yield f"{difference.path}: there is no test {difference.shown_by} that shows the difference"
        yield from self._look_at_endpoints()
        for point in self._facts.points:
            if not self._of_point(point.number):
                yield f"A.{point.number}: no test is marked with it"
        for path in [fact.path for fact in self._facts.differences] + [fact.path for fact in self._facts.not_offered]:
            if path not in known:
                yield f"{path}: no operation of the contract"
        numbers = {f"A.{point.number}" for point in self._facts.points}
        for test, proved in self._tests.items():
            for each in proved:
                families, _, path = each.partition(" ")
                if each not in numbers and not (path in known and set(families) <= set(FAMILIES)):
                    yield f"{test}: the marker '{each}' is no point and no operation"

    def _look_at_endpoints(self) -> Iterator[str]:
        """Which are not listed, or not served; and what is not shown of them."""
        listed = {endpoint.path for endpoint in self._facts.endpoints}
        for path in listed ^ set(REQUIRED_KEY):
            yield f"{path}: " + ("is no endpoint of a batch" if path in listed else "is not among the [[endpoints]]")
        for endpoint in self._facts.endpoints:
            if endpoint.shown_by not in self._tests:
                yield f"{endpoint.path}: there is no test {endpoint.shown_by} that shows it"

    def text(self) -> str:
        """The whole page."""
        facts = self._facts
        parts = [HEAD, f"\n## Operations\n\n| | operation | | {' | '.join(FAMILIES)} |\n"]
        parts.append("|---" * (len(FAMILIES) + 3) + "|\n")
        for number, listed in enumerate(facts.operations, 1):
            cells = [self._cell(family, listed) for family in FAMILIES]
            parts.append("| " + " | ".join([str(number), f"`{listed.path}`", listed.does, *cells]) + " |\n")
        parts.append("\n“Also” is an operation that the vendor does not have, or does not document, in that family.\n")
        parts.append("The tests of each operation are [at the end](#tests), by its number.\n")
        parts.append("\n## Endpoints inside a batch\n\n| endpoint | OpenAI | Azure | here |\n|---|---|---|---|\n")
        for endpoint in facts.endpoints:
            has = ["batch" if vendor in endpoint.vendors else "–" for vendor in "OA"]
            says = f"{endpoint.says} {_links([endpoint.shown_by])}".strip()
            parts.append(f"| `{endpoint.path}` | {' | '.join(has)} | {says} |\n")
        parts.append(f"\n{VENDORS}")
        parts.append("\n## What differs\n\n")
        for number, difference in enumerate(facts.differences, 1):
            shown = _links([difference.shown_by])
            families = ", ".join(difference.families)
            parts.append(f"{number}. `{difference.path}` ({families}): {difference.says} {shown}\n")
        parts.append("\n## What is not offered\n\n")
        for missing in facts.not_offered:
            parts.append(f"- `{missing.path}` ({', '.join(missing.families)}): {missing.why}\n")
        parts.append("\n## Appendix A of the contract\n\n| | point |\n|---|---|\n")
        parts += [f"| A.{point.number} | {point.says} |\n" for point in facts.points]
        parts.append("\n## Tests\n\n| | shown by |\n|---|---|\n")
        for number, listed in enumerate(facts.operations, 1):
            proving = [test for family in FAMILIES for test in self._proving(family, listed.path)]
            if proving:
                parts.append(f"| {number} | {_links(proving)} |\n")
        parts += [f"| A.{point.number} | {_links(self._of_point(point.number))} |\n" for point in facts.points]
        return "".join(parts)

    def _cell(self, family: str, listed: Listed) -> str:
        if family not in listed.families:
            return "also" if _served(family, listed.path) else "–"
        if self._marked(self._facts.not_offered, family, listed.path):
            return "not offered"
        numbers = self._marked(self._facts.differences, family, listed.path)
        return "differs: " + ", ".join(map(str, numbers)) if numbers else "works"


def _served(family: str, path: str) -> bool:
    return any(
        f"{operation.method} {operation.path}" == path and operation.served_by(FAMILIES[family])
        for operation in OPERATIONS
    )


def _links(proving: list[str]) -> str:
    """Links to tests, each once."""
    split = [test.partition("::") for test in dict.fromkeys(proving)]
    return ", ".join(f"[{name.removeprefix('test_')}](../{path})" for path, _, name in split)


def main() -> None:
    """Draws the page, or checks it."""
    page = Page()
    for fault in page.faults:
        print(fault, file=sys.stderr)
    if "--check" in sys.argv:
        drifted = not PAGE.exists() or PAGE.read_text("utf-8") != page.text()
        if drifted:
            print("docs/compatibility.md is not what this script draws; run it without --check", file=sys.stderr)
        sys.exit(bool(page.faults) or drifted)
    PAGE.write_text(page.text(), "utf-8")
    sys.exit(bool(page.faults))


if __name__ == "__main__":
    main()
