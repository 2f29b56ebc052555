"""What is made of each row: the line of an input file (spec 4.1)."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from slackwater.core.endpoints import normalised
from slackwater.core.errors import InvalidRequest
from slackwater.core.rows.schema import Schema
from slackwater.core.rows.template import Row, Template, value_of

CHAT, RESPONSES, MESSAGES = "/chat/completions", "/responses", "/messages"
# Where a row's text goes, at endpoints that take one text; the others have messages.
TEXT_KEY = {
    "/completions": "prompt",
    "/embeddings": "input",
    "/moderations": "input",
    "/images/generations": "prompt",
    "/videos": "prompt",
    "/audio/speech": "input",
}
WITH_PICTURES = (CHAT, RESPONSES)
# Anthropic's form cannot do without one (https://docs.anthropic.com/en/api/messages, 2026-11).
MAX_TOKENS = 1024
# Columns that are taken for the prompt where no template says which.
USUAL_COLUMNS = ("prompt", "text", "question", "input", "content")
# Of one recipe it is always the same, and it is asked for each row.
_endpoint_of = functools.lru_cache(maxsize=16)(normalised)
_encode = msgspec.json.Encoder().encode


class Recipe(Struct, frozen=True, kw_only=True):
    """How a row becomes a request."""

    url: str
    model: str
    prompt: Template | None
    """None: the column `messages` is the conversation."""
    system: Template | None = None
    schema: Schema | None = None
    pictures: tuple[str, ...] = ()
    """Columns with pictures, whose addresses are given with each row."""
    detail: str | None = None
    """How closely a model looks at them: `low`, `high`, `auto`."""
    fields: tuple[tuple[tuple[str, ...], Any], ...] = ()
    """Further fields of the body: where, and what (a Template is filled with the row)."""

    @property
    def columns(self) -> list[str]:
        """Those that every row needs."""
        templates = [each for each in (self.prompt, self.system) if each is not None]
        templates += [value for _, value in self.fields if isinstance(value, Template)]
        named = [name for template in templates for name in template.columns]
        return [*named, *self.pictures, *([] if self.prompt is not None else ["messages"])]


def check_recipe(recipe: Recipe) -> None:
    """Raises InvalidRequest where its endpoint cannot take what it has."""
    endpoint = normalised(recipe.url)
    talks = endpoint in (CHAT, RESPONSES, MESSAGES)
    if endpoint not in TEXT_KEY and not talks:
        known = ", ".join(f"/v1{each}" for each in (CHAT, RESPONSES, MESSAGES, *TEXT_KEY))
        raise InvalidRequest(f"rows cannot be made requests to {recipe.url}; there are {known}")
    for given, name, taken in (
        (recipe.system, "a system prompt", talks),
        (recipe.schema, "a schema", endpoint in (CHAT, RESPONSES)),
        (recipe.pictures, "pictures", endpoint in WITH_PICTURES),
        (recipe.prompt is None, "a conversation in the column 'messages'", endpoint != RESPONSES and talks),
    ):
        if given and not taken:
            raise InvalidRequest(f"{recipe.url} does not take {name}")


def template_for(columns: Sequence[str]) -> Template | None:
    """The template where none was given: the column that is the prompt, or None for conversations.

    Raises InvalidRequest where it cannot be told.
    """
    if "messages" in columns:
        return None
    for name in USUAL_COLUMNS:
        if name in columns:
            return Template("{" + name + "}")
    if len(columns) == 1:
        return Template("{" + columns[0] + "}")
    raise InvalidRequest(
        "say what is asked of each row, with --template: its columns are "
        + ", ".join("{" + each + "}" for each in columns[:8])
    )


def field_of(text: str) -> tuple[tuple[str, ...], Any]:
    """Where in a body, and what: `temperature=0`, `reasoning.effort=low`, `user={customer}`, `stop=["\\n"]`.

    A value that is JSON is that; any other is text, and a template. Raises InvalidRequest.
    """
    where, mark, value = text.partition("=")
    path = tuple(where.strip().split("."))
    if not mark or not all(path):
        raise InvalidRequest(f"'{text}' is no FIELD=VALUE, such as temperature=0 or user={{column}}")
    if path[0] in ("messages", "model"):
        raise InvalidRequest(f"'{path[0]}' has an option of its own")
    try:
        return path, msgspec.json.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        template = Template(value)
        return path, template if template.columns else template.fill({})


def request_line(recipe: Recipe, custom_id: str, row: Row, pictures: Sequence[str] = ()) -> bytes:
    """The line of this row; `pictures` are addresses, `https:` or `data:`. Raises InvalidRequest where it has no such column."""
    body = _body(recipe, _endpoint_of(recipe.url), row, pictures)
    for path, value in recipe.fields:
        _put(body, path, value.fill(row) if isinstance(value, Template) else value)
    line = {"custom_id": custom_id, "method": "POST", "url": recipe.url, "body": body}
    return _encode(line) + b"\n"


def _body(recipe: Recipe, endpoint: str, row: Row, pictures: Sequence[str]) -> dict[str, Any]:
    system = None if recipe.system is None else recipe.system.fill(row)
    body: dict[str, Any] = {"model": recipe.model}
    if key := TEXT_KEY.get(endpoint):
        assert recipe.prompt is not None, "it was checked"
        return body | {key: recipe.prompt.fill(row)}
    if recipe.prompt is None:
        messages = value_of(row, "messages")
        if not isinstance(messages, list) or not messages:
            raise InvalidRequest("'messages' is no list with at least one message")
    else:
        text = recipe.prompt.fill(row)
        content = _with_pictures(recipe, text, pictures, endpoint) if pictures else text
        messages = [{"role": "user", "content": content}]
    if endpoint == RESPONSES:
        alone = messages[0]["content"] if isinstance(messages[0]["content"], str) else messages
        body |= ({} if system is None else {"instructions": system}) | {"input": alone}
        return body if recipe.schema is None else body | {"text": recipe.schema.as_responses()}
    if endpoint == MESSAGES:
        return body | ({} if system is None else {"system": system}) | {"max_tokens": MAX_TOKENS, "messages": messages}
    body["messages"] = messages if system is None else [{"role": "system", "content": system}, *messages]
    return body if recipe.schema is None else body | {"response_format": recipe.schema.as_chat()}


def _with_pictures(recipe: Recipe, text: str, pictures: Sequence[str], endpoint: str) -> list[dict[str, Any]]:
    detail = {} if recipe.detail is None else {"detail": recipe.detail}
    if endpoint == RESPONSES:
        parts = [{"type": "input_image", "image_url": each} | detail for each in pictures]
        return [{"type": "input_text", "text": text}, *parts]
    pairs = [{"type": "image_url", "image_url": {"url": each} | detail} for each in pictures]
    return [{"type": "text", "text": text}, *pairs]


def _put(body: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for part in path[:-1]:
        # A copy: what lies there may be the schema, which all rows share.
        inner = body.get(part)
        body[part] = dict(inner) if isinstance(inner, Mapping) else {}
        body = body[part]
    body[path[-1]] = value
