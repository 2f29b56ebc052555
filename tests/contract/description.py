"""Microsoft's description of its API as something that answers can be held against: statuses, headers, schemas.

Swagger 2.0 is JSON Schema draft 4 with few words of its own, none of which the answers need. The descriptions are not kept
here: `make test-description` says where to get them.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema  # type: ignore[import-untyped]
import yaml  # type: ignore[import-untyped]

from tests.contract.exchange import Answer

FOLDER = "SLACKWATER_DESCRIPTIONS"


METHODS = ("get", "put", "post", "delete", "options", "head", "patch")


def path_items(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every path of a description and what can be done there, wherever it stands.

    The published YAML of 2024-10-21 is indented wrongly: `/files` and what is below it stand beside `paths`, and paths behind
    them inside of the last one. The JSON beside it has all of them where they belong.
    """
    for key, value in document.items():
        if key == "paths":
            yield from path_items(value)
        elif key.startswith("/"):
            yield key, value
            yield from path_items(value)


def _text_of(version: str) -> str:
    """The description of a version, from the folder that the environment names."""
    folder = Path(os.environ[FOLDER])
    return next(path for path in folder.iterdir() if path.stem == version).read_text("utf-8")


class Problem(NamedTuple):
    """Where an answer is not what the description says: `place` in the answer, and what is wrong there."""

    operation: str
    place: str
    wrong: str


class Description:
    """The operations of one version by their ids."""

    def __init__(self, version: str) -> None:
        # JSON is YAML, too: either form of the description will do.
        document = yaml.safe_load(_text_of(version))
        self._definitions: dict[str, Any] = document["definitions"]
        self.operations: dict[str, tuple[str, str]] = {}
        self._described: dict[str, Any] = {}
        for path, methods in path_items(document):
            for method, operation in methods.items():
                if method not in METHODS:
                    continue
                self.operations[operation["operationId"]] = (method.upper(), path)
                self._described[operation["operationId"]] = operation

    def problems(self, operation: str, answer: Answer) -> Iterator[Problem]:
        """Everything in an answer that is not as described."""
        described = self._described[operation]
        if answer.status >= 400:
            response = described["responses"]["default"]
        else:
            # The one success that every operation describes.
            status, response = next(item for item in described["responses"].items() if item[0] != "default")
            if str(answer.status) != status:
                yield Problem(operation, "status", f"{answer.status} instead of {status}")
        for name in response.get("headers", {}):
            if name.lower() not in answer.headers:
                yield Problem(operation, f"headers.{name}", "absent")
        kind = answer.headers.get("content-type", "").partition(";")[0]
        if kind not in described["produces"]:
            yield Problem(operation, "headers.Content-Type", kind)
        if response["schema"] == {"type": "file"}:
            return
        for place, wrong in self._violations(response["schema"], answer.json, "body"):
            yield Problem(operation, place, wrong)

    def _violations(self, schema: Mapping[str, Any], body: Any, place: str) -> Iterator[tuple[str, str]]:
        validator = jsonschema.Draft4Validator({"definitions": self._definitions, "allOf": [schema]})
        for error in validator.iter_errors(body):
            where = ".".join([place, *("*" if isinstance(step, int) else step for step in error.absolute_path)])
            null = error.instance is None
            yield where, "null" if null else f"{error.validator}: {error.message[:80]}"
            if where.endswith("errors.data") and isinstance(error.instance, list):
                # Described as one object; its items are what that object should have been.
                for item in error.instance:
                    yield from self._violations({"$ref": "#/definitions/BatchErrorData"}, item, f"{where}.*")
