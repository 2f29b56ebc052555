"""The API document, OpenAPI 3.1, made of the table of operations and of the types that cross the wire."""

import ast
import inspect
import itertools
import re
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from slackwater import __version__
from slackwater.api import objects
from slackwater.api.dialects import AZURE, AZURE_V1, DIALECTS, OPENAI, Dialect
from slackwater.api.examples import EXAMPLES
from slackwater.api.operation import Operation, Parameter
from slackwater.api.operations import OPERATIONS
from slackwater.core.accounts.resource import Role

TITLES = {AZURE.name: "Azure", AZURE_V1.name: "Azure v1", OPENAI.name: "OpenAI"}
REASONS = {
    400: "Something in the request is wrong; the message says what to do.",
    401: "No key, or a wrong one.",
    403: "The operator has not allowed this.",
    404: "There is no such object, or no such api-version.",
    409: "The state of the object forbids this, and trying again will not help.",
    412: "The object is not as `If-Match` or `If-None-Match` wants it; nothing was changed.",
    413: "The body is too large.",
    414: "The URL is too long.",
    415: "The body has a Content-Encoding.",
    429: "So much of this is being done for the caller already, or many wrong keys came from where they call; `Retry-After` says "
    "when to try again.",
    431: "The header lines are too large, or too many.",
}
SUMMARY = """The Batch API of Azure OpenAI and of OpenAI, served by yourself. The same operations are there under three prefixes,
one for each family of clients: `/openai` (Azure, dated api-versions), `/openai/v1` (Azure v1) and `/v1` (OpenAI)."""
HEADERS = {
    "Location": "Where the new file is (Azure, dated).",
    "ETag": "Its version, for `If-Match` and `If-None-Match`.",
    "Content-Disposition": "The file's name.",
    "slackwater-waiting-on": "Why nothing of it is sent, while that is so: `paused; what=batch; since=1790000000`, or "
    "`down; what=backend; since=1790000000; until=1790000030`. `what` and the state are those of `waiting_on` in the progress.",
    "slackwater-regions": "The regions whose backends have answered so far, where they are known.",
    "deployment-enqueued-tokens": "Enqueued tokens of the deployment, with this batch (Azure).",
    "deployment-maximum-enqueued-tokens": "Its limit, where it has one (Azure).",
    "slackwater-results-cursor": "The next `after`.",
    "slackwater-queue-position": "1 where it is the next of its deployment to start, while it waits for room.",
}
SOURCE = re.compile(r"\s*\((?:[^()]*\bspec \d[^()]*)\)")


def document() -> dict[str, Any]:
    """The whole document. The same code always gives the same one."""
    paths: dict[str, dict[str, Any]] = {
        "/healthz": {"get": _health()},
        "/readyz": {"get": _ready()},
    }
    for dialect in DIALECTS[::-1]:
        for operation in OPERATIONS:
            if operation.served_by(dialect):
                path = dialect.prefix + operation.path
                paths.setdefault(path, {})[operation.method.lower()] = _operation(operation, dialect)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Slackwater",
            "version": __version__,
            "description": SUMMARY,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in dict.fromkeys(operation.tag for operation in OPERATIONS)],
        "security": [{"api_key": []}, {"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "api_key": {"type": "apiKey", "in": "header", "name": "api-key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
            "schemas": _schemas(),
        },
    }


def _health() -> dict[str, Any]:
    answer = {"description": "It answers.", "content": _content(objects.Health)}
    return {
        "operationId": "health",
        "tags": ["Service"],
        "summary": "Whether the process answers",
        "security": [],
        "responses": {"200": answer},
    }


def _ready() -> dict[str, Any]:
    content = _content(objects.Readiness)
    return {
        "operationId": "ready",
        "tags": ["Service"],
        "summary": "Whether the service should be given work",
        "security": [],
        "responses": {
            "200": {"description": "It should.", "content": content},
            "503": {"description": "It should not, for these reasons.", "content": content},
        },
    }


def _operation(operation: Operation, dialect: Dialect) -> dict[str, Any]:
    names = re.findall(r"{(\w+)}", operation.path)
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}} for name in names
    ]
    if dialect.versions is not None:
        schema = {"enum": sorted(dialect.versions)}
        parameters.append({"name": "api-version", "in": "query", "required": dialect.dated, "schema": schema})
    parameters += [_parameter(parameter) for parameter in operation.parameters]
    described: dict[str, Any] = {
        "operationId": f"{dialect.name.replace('-', '_')}_{operation.name}",
        "tags": [operation.tag],
        "summary": f"{operation.summary} ({TITLES[dialect.name]})",
        "parameters": parameters,
    }
    if operation.form is not None:
        content: dict[str, Any] = {"multipart/form-data": {"schema": operation.form}}
        described["requestBody"] = {"required": True, "content": content}
    elif operation.body is not None:
        described["requestBody"] = {"required": not operation.body_optional, "content": _content(operation.body)}
    described["responses"] = _answers(operation, dialect)
    return described


def _parameter(parameter: Parameter) -> dict[str, Any]:
    described = {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.description,
        "schema": parameter.schema,
    }
    return described if parameter.style is None else described | {"style": parameter.style, "explode": True}


def _answers(operation: Operation, dialect: Dialect) -> dict[str, Any]:
    status = dialect.upload_status if operation.status is None else operation.status
    good: dict[str, Any] = {"description": operation.summary}
    if isinstance(operation.answer, str):
        good["content"] = {operation.answer: {"schema": {"type": "string", "format": "binary"}}}
    else:
        good["content"] = _content(operation.answer)
    for media in operation.answer_also:
        good["content"][media] = {"schema": {"type": "string"}}
    if operation.answer_headers:
        good["headers"] = {
            name: {"description": HEADERS[name], "schema": {"type": "string"}} for name in operation.answer_headers
        }
    answers = {str(status): good}
    for other in operation.status_also:
        answers[str(other)] = {"description": "Nothing is left"} if other == 204 else good
    if operation.name == "get_file_content":
        answers["206"] = good | {"description": "The bytes that were asked for"}
        answers["304"] = {"description": "The caller has them already"}
        answers["416"] = {"description": "The file ends before the bytes that were asked for"}
    # Too long a URL, or too large a head, of any call; the front door says so before anybody looks at the path.
    errors = {401, 414, 429, 431, *operation.errors}
    if dialect.versions is not None:
        errors.add(400)
    if operation.body is not None or operation.form is not None:
        errors.add(415)
    if operation.role is not Role.READER:
        errors.add(403)
    if dialect.dated:
        errors.add(404)
    for error in sorted(errors):
        answers[str(error)] = {"description": REASONS[error], "content": _content(objects.ErrorBody)}
    if dialect.codes.bare_not_found and "404" in answers:
        # An unknown api-version, or a path that no route takes, is answered with the recorded bytes, which have fewer keys.
        kinds = [objects.ErrorBody, objects.ResourceNotFound]
        schema = {"anyOf": [{"$ref": f"#/components/schemas/{kind.__name__}"} for kind in kinds]}
        answers["404"]["content"] = {"application/json": {"schema": schema}}
    return answers


def _content(kind: type[Struct]) -> dict[str, Any]:
    body: dict[str, Any] = {"schema": {"$ref": f"#/components/schemas/{kind.__name__}"}}
    if kind.__name__ in EXAMPLES:
        body["example"] = EXAMPLES[kind.__name__]
    return {"application/json": body}


def _schemas() -> dict[str, Any]:
    kinds = [
        kind
        for _, kind in inspect.getmembers(objects, inspect.isclass)
        if issubclass(kind, Struct) and kind is not Struct
    ]
    _, schemas = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    asked = {operation.body for operation in OPERATIONS if operation.body is not None} | {objects.ExpiresAfter}
    asked |= {objects.NewSku, objects.NewModel, objects.NewBackend, objects.NewProperties, objects.ChangedSku}
    texts = _field_texts()
    for kind in kinds:
        schema = schemas[kind.__name__]
        schema["description"] = SOURCE.sub("", schema.get("description", ""))
        for name, text in texts.get(kind.__name__, {}).items():
            schema["properties"][name].setdefault("description", SOURCE.sub("", text))
        if kind not in asked:
            # What is answered is always there, with a default or without, unless it may be left out.
            schema["required"] = [
                field.name for field in msgspec.structs.fields(kind) if not _may_be_left_out(field.type, field.default)
            ]
    return dict(sorted(schemas.items()))


def _may_be_left_out(kind: Any, default: Any) -> bool:
    return default is UNSET and UnsetType in getattr(kind, "__args__", ())


def _field_texts() -> dict[str, dict[str, str]]:
    """The sentences below the fields of api/objects, by class and field."""
    modules = [module for _, module in inspect.getmembers(objects, inspect.ismodule)]
    found: dict[str, dict[str, str]] = {}
    for node in itertools.chain.from_iterable(ast.parse(inspect.getsource(module)).body for module in modules):
        if not isinstance(node, ast.ClassDef):
            continue
        for field, text in zip(node.body, node.body[1:], strict=False):
            if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
                continue
            if (
                isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
                and isinstance(text.value.value, str)
            ):
                found.setdefault(node.name, {})[field.target.id] = inspect.cleandoc(text.value.value)
    return found
