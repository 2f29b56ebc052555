"""The options that say what is asked of each row, of `prepare` and of `run`, and what becomes of them."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import click
from msgspec import Struct

from slackwater.cli.row_files import BY_ENDING, FORMATS, RowFile, form_of, rows_of
from slackwater.core.errors import InvalidRequest
from slackwater.core.rows.recipe import CHAT, Recipe, check_recipe, field_of, template_for
from slackwater.core.rows.schema import schema_of
from slackwater.core.rows.template import Row, Template, has_column, no_column

F = TypeVar("F", bound=Callable[..., Any])
# Short names of endpoints.
ENDPOINTS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "completions": "/v1/completions"} | {
    "embeddings": "/v1/embeddings",
    "moderations": "/v1/moderations",
    "messages": "/v1/messages",
}


class Wanted(Struct, frozen=True, kw_only=True):
    """What the options say."""

    form: str | None
    encoding: str | None
    delimiter: str | None
    header: bool
    template: str | None
    system: str | None
    schema: Path | None
    pictures: tuple[str, ...]
    detail: str | None
    endpoint: str
    fields: tuple[str, ...]
    id_column: str | None
    limit: int | None
    skip_empty: bool

    @property
    def said(self) -> bool:
        """Whether something is said that only rows need."""
        return any(
            (
                *(self.form, self.template, self.system, self.schema, self.pictures, self.fields, self.id_column),
                *(self.delimiter, self.encoding, self.limit, self.detail, not self.header, self.skip_empty),
            )
        )


class RowsRead(Struct, frozen=True, kw_only=True):
    """A file of rows, opened."""

    recipe: Recipe
    rows: Iterator[tuple[int, Row]]


_FILE_OPTIONS = (
    click.option("--format", "form", type=click.Choice(FORMATS), help="Of INPUT.  [default: by its ending]"),
    click.option("--encoding", metavar="NAME", help="Of INPUT, such as cp1252.  [default: UTF-8, or its mark's]"),
    click.option("--delimiter", metavar="CHAR", help="Of CSV.  [default: as in its heading: , ; | or a tab]"),
    click.option("--no-header", "header", flag_value=False, default=True, help="Columns are column_1, column_2, ..."),
    click.option("--id-column", metavar="COLUMN", help="What a row's custom_id is.  [default: row-1, row-2, ...]"),
)
_RECIPE_OPTIONS = (
    click.option("-t", "--template", metavar="TEXT", help="The prompt, with {columns}; @FILE reads it from a file."),
    click.option("--system", metavar="TEXT", help="A system prompt, with {columns} if you like; @FILE reads it."),
    click.option(
        "--schema",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="A JSON schema: answers are objects of that form.",
    ),
    click.option(
        "--image",
        "pictures",
        multiple=True,
        metavar="COLUMN",
        help="A column with a picture: a path beside INPUT, or a URL. May be given again.",
    ),
    click.option(
        "--image-detail", "detail", type=click.Choice(["low", "high", "auto"]), help="How closely it is seen."
    ),
    click.option(
        "--endpoint",
        default="chat",
        show_default=True,
        metavar="NAME",
        help=f"{', '.join(ENDPOINTS)}, or a path such as /v1/images/generations.",
    ),
    click.option(
        "--set",
        "fields",
        multiple=True,
        metavar="FIELD=VALUE",
        help="Any field of the body, such as temperature=0, reasoning.effort=low or user={column}. May be given again.",
    ),
    click.option("--limit", type=click.IntRange(1), metavar="N", help="The first N rows only: a trial."),
    click.option("--skip-empty", is_flag=True, help="Leave out rows with nothing in the template's columns."),
)


def file_options(command: F) -> F:
    """How the rows of INPUT are read."""
    for option in reversed(_FILE_OPTIONS):
        command = option(command)
    return command


def recipe_options(command: F) -> F:
    """Adds all of them, and gives the command one `wanted`."""

    @functools.wraps(command)
    def gathered(**given: Any) -> Any:
        wanted = Wanted(**{name: given.pop(name) for name in Wanted.__struct_fields__})
        return command(wanted=wanted, **given)

    adding: Any = gathered
    for option in reversed((*_RECIPE_OPTIONS, *_FILE_OPTIONS)):
        adding = option(adding)
    return adding  # type: ignore[no-any-return]


def row_file(path: Path, *, form: str | None, encoding: str | None, delimiter: str | None, header: bool) -> RowFile:
    """The file as the options have it. Raises InvalidRequest."""
    if delimiter == "\\t":
        delimiter = "\t"
    if delimiter is not None and len(delimiter) != 1:
        raise InvalidRequest(f"--delimiter is one character, and '{delimiter}' is not")
    return RowFile(path=path, form=form_of(path, form), encoding=encoding, delimiter=delimiter, header=header)


def holds_rows(path: Path) -> bool:
    """Whether a file's ending is that of a table, or a text; JSON Lines may be requests as well."""
    return BY_ENDING.get(Path(path.name.removesuffix(".gz")).suffix.lower(), "jsonl") != "jsonl"


@contextmanager
def rows_read(path: Path, wanted: Wanted, *, model: str) -> Iterator[RowsRead]:
    """Opens a file, and yields its rows and what is made of them. Raises InvalidRequest."""
    file = row_file(path, form=wanted.form, encoding=wanted.encoding, delimiter=wanted.delimiter, header=wanted.header)
    with rows_of(file) as rows:
        first = next(rows, None)
        if first is None:
            raise InvalidRequest(f"{path} has no rows")
        columns = list(first[1])
        recipe = _recipe(wanted, columns, model)
        check_recipe(recipe)
        for name in (*recipe.columns, *([wanted.id_column] if wanted.id_column else [])):
            if file.columns_first and not has_column(columns, name):
                raise InvalidRequest(no_column(name, columns))
        yield RowsRead(recipe=recipe, rows=chain([first], rows))


def _recipe(wanted: Wanted, columns: list[str], model: str) -> Recipe:
    schema = None
    if wanted.schema is not None:
        schema = schema_of(wanted.schema.read_bytes(), stem=wanted.schema.stem)
    endpoint = ENDPOINTS.get(wanted.endpoint, wanted.endpoint)
    if not endpoint.startswith("/"):
        raise InvalidRequest(
            f"--endpoint {wanted.endpoint} is none of {', '.join(ENDPOINTS)}, nor a path such as /v1{CHAT}"
        )
    return Recipe(
        url=endpoint,
        model=model,
        prompt=template_for(columns) if wanted.template is None else Template(_text(wanted.template)),
        system=None if wanted.system is None else Template(_text(wanted.system)),
        schema=schema,
        pictures=wanted.pictures,
        detail=wanted.detail,
        fields=tuple(field_of(each) for each in wanted.fields),
    )


def _text(given: str) -> str:
    """Text, or that of the file behind an @. A line end at its end is the editor's."""
    if not given.startswith("@"):
        return given
    path = Path(given[1:])
    try:
        return path.read_text("utf-8-sig").removesuffix("\n")
    except OSError as error:
        raise InvalidRequest(f"{path}: {error.strerror}; a text that begins with @ names a file") from error
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{path} is not UTF-8; save it as that") from error
