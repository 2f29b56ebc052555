"""`slackwater batches submit`: an input file becomes a batch. It is checked here first, so that a typing error costs a second."""

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from slackwater.cli.byte_bar import byte_bar
from slackwater.cli.deployment_states import states
from slackwater.cli.input_files import UPLOAD_BYTES_MAX, check, copy_filled, first_model, first_url
from slackwater.cli.output import USAGE, WENT_WRONG, fail, note, print_json, safe
from slackwater.cli.results import check_free, errors_beside
from slackwater.cli.run_input import STANDARD, spooled
from slackwater.cli.server_options import Asked, api_of, server_options
from slackwater.cli.validate import as_object, show_faults, with_file_faults
from slackwater.cli.watching import follow
from slackwater.core.errors import CallFailed, InvalidRequest, ServerUnreachable
from slackwater.core.input.line_judge import Rules

if TYPE_CHECKING:
    from slackwater.client.api import Api
    from slackwater.client.target import Dialect

SHOWN_FAULTS = 20
NAMES_SHOWN = 10


def pairs(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in given:
        key, mark, value = text.partition("=")
        if not mark or not key:
            raise click.BadParameter(f"'{text}' is not KEY=VALUE")
        found[key] = value
    return found


@click.command("submit")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path), required=False)
@click.option("--blob", metavar="URL", help="A blob in a storage of your own, instead of FILE.")
@click.option("--folder", metavar="URL", help="Where in that storage the results go.")
@click.option("-d", "--deployment", metavar="NAME", help="Send every line to this one, whatever model it names.")
@click.option("--endpoint", metavar="PATH", help="[default: the first line's url]")
@click.option(
    "--name", metavar="NAME", help="What the job is called: its metadata's name. Without one, it goes by FILE."
)
@click.option("--window", default="24h", show_default=True, help="Completion window.")
@click.option("--metadata", metavar="KEY=VALUE", multiple=True, callback=pairs, help="May be given again.")
@click.option("--number", is_flag=True, help="Give lines without a custom_id one: line-1, line-2, ...")
@click.option("--no-check", is_flag=True, help="Do not check the file before it is sent.")
@click.option("--wait", is_flag=True, help="Until the batch has ended.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Wait, then put answers here, and failed requests beside them.",
)
@click.option("--overwrite", is_flag=True, help="Replace OUTPUT if it exists.")
@click.option("-q", "--quiet", is_flag=True, help="Show nothing but errors.")
@server_options
def submit(
    file: Path | None,
    blob: str | None,
    folder: str | None,
    deployment: str | None,
    endpoint: str | None,
    name: str | None,
    window: str,
    metadata: dict[str, str],
    number: bool,
    no_check: bool,
    wait: bool,
    output: Path | None,
    overwrite: bool,
    quiet: bool,
    asked: Asked,
) -> None:
    """Upload FILE, or standard input for -, and create a batch of it, or of a blob. Prints the batch's id.

    The file is checked first, with the rules of the server, and whether the server has its deployment. With --wait or --output
    the command lasts until the batch has ended; Ctrl-C ends the waiting, not the batch.

    \b
    Exit codes: 0 done (with --wait: completed, and no request failed), 1 it went wrong, the file is invalid, or not all
                requests were answered, 2 wrong usage, 130 interrupted (the batch goes on).
    \b
    Examples:
      BATCH=$(slackwater batches submit questions.jsonl)
      slackwater batches submit questions.jsonl --deployment llama-batch --output answers.jsonl
      slackwater batches submit questions.jsonl --name "nightly, week 12" --metadata team=tides
    """
    code = 0
    if endpoint is not None and "://" in endpoint:
        path = urlsplit(endpoint).path or "/v1/chat/completions"
        fail(f"--endpoint is a path, such as {path}, and no address; the address of the server goes to --server", USAGE)
    if (file is None) == (blob is None) or (blob is None) != (folder is None):
        fail("name either a FILE, or a --blob together with a --folder", USAGE)
    if name is not None:
        if metadata.get("name", name) != name:
            fail(f"--name {name} and --metadata name={metadata['name']} are two names; give one", USAGE)
        metadata = {"name": name} | metadata
    if blob is not None and (deployment or number or metadata or output):
        fail(
            "--blob goes without --deployment, --number, --name, --metadata and --output: a blob is taken as it is",
            USAGE,
        )
    with api_of(asked) as api, tempfile.TemporaryDirectory(prefix="slackwater-") as scratch:
        if output is not None:
            check_free([output, errors_beside(output)], overwrite=overwrite)
        if blob is not None and folder is not None:
            endpoint = endpoint or "/v1/chat/completions"
            batch = api.create_batch_of_blob(blob=blob, folder=folder, endpoint=endpoint, window=window)
        else:
            assert file is not None, "it was looked at"
            with spooled(file) as (given, _):
                source = given
                if deployment is not None or number:
                    source = Path(scratch) / "filled.jsonl"
                    copy_filled(given, source, model=deployment, number=number)
                endpoint = endpoint or first_url(source)
                if not no_check:
                    # The cheap question first: a large file takes a while.
                    _check_name(api, deployment or first_model(source), given=deployment is not None, quiet=quiet)
                    if not _fine(source, file, endpoint, api.connection.target.dialect, as_json=asked.as_json):
                        sys.exit(WENT_WRONG)
                filename = "stdin.jsonl" if file == STANDARD else file.name
                batch = _create(api, source, filename, endpoint, window, metadata, quiet=quiet)
                # The copy is not needed while the batch runs for hours.
                source.unlink() if source != given else None
        if not wait and output is None:
            if asked.as_json:
                print_json(batch)
            else:
                click.echo(safe(str(batch["id"])))
        else:
            if not quiet:
                note(f"created {batch['id']}")
            code = follow(api, batch, asked=asked, output=output, quiet=quiet)
    sys.exit(code)


def _check_name(api: "Api", name: str | None, *, given: bool, quiet: bool) -> None:
    """Ends the command where the server has no deployment of that name, and says where one cannot work now.

    Azure lists models and not deployments, so nothing can be told there; what else a vendor lists is not all that works.
    """
    if name is None or api.connection.target.dialect.dated or api.connection.target.dialect.name == "azure-v1":
        return
    try:
        listed = api.deployments()
    except ServerUnreachable:
        raise
    except CallFailed:
        # Who may not see them may use them all the same.
        return
    names = [str(each.get("name") or each.get("id")) for each in listed]
    if name not in names and names:
        of = "there is no" if given else "the file names the model"
        shown = ", ".join(names[:NAMES_SHOWN]) + (
            f" and {len(names) - NAMES_SHOWN:,} more" if len(names) > NAMES_SHOWN else ""
        )
        kind = "deployment" if api.ours else "model"
        said = f"{of} {kind} '{name}'" if given else f"{of} '{name}', and there is no such {kind}"
        if not api.ours:
            note(f"{said} in the list of {api.connection.target.url}; trying all the same")
            return
        hint = "" if given else "; --deployment NAME sends every line to one of them"
        fail(f"{said}; there {'is' if len(names) == 1 else 'are'} {shown}{hint}. Nothing was sent")
    if not quiet and (now := states(api).get(name, "ok")) != "ok":
        note(f"{name} now: {now}")


def _fine(source: Path, file: Path, endpoint: str, dialect: "Dialect", *, as_json: bool) -> bool:
    """Whether a server of this dialect would take the file. How much ours takes is its operator's choice, so it says that."""
    most = 0 if dialect.ours else 50_000 if dialect.family == "openai" else 100_000
    rules = Rules(
        family=dialect.family,
        endpoint=endpoint,
        deployments=None,
        lines_max=most,
        embedding_inputs_max=0 if dialect.ours else 50_000,
        errors_max=SHOWN_FAULTS,
    )
    size_max = 0 if dialect.ours else UPLOAD_BYTES_MAX
    checked = with_file_faults(check(source, rules), source, deployment=None, bytes_max=size_max)
    if not checked.faults:
        return True
    if as_json:
        print_json(as_object(checked))
    else:
        show_faults(checked.faults)
    name = "standard input" if file == STANDARD else str(file)
    said = f"error: {name} is invalid: {checked.fault_count:,} wrong of {checked.requests:,} requests; nothing was sent"
    note(said if file == STANDARD else f"{said}. See all of them with 'slackwater validate {file}'")
    return False


def _create(
    api: "Api", source: Path, filename: str, endpoint: str, window: str, metadata: dict[str, str], *, quiet: bool
) -> dict[str, object]:
    from slackwater.client.uploading import upload

    with byte_bar(filename, quiet=quiet) as show:
        uploaded = upload(api.connection, source, name=filename, show=show)
    try:
        return api.create_batch(
            input_file_id=uploaded["id"], endpoint=endpoint, window=window, metadata=metadata or None
        )
    except CallFailed as failed:
        if failed.status is None or failed.status >= 500:
            # There may be a batch that uses the file.
            note(
                f"the file is on the server as {uploaded['id']}; look with 'slackwater batches list' before trying again"
            )
            raise
        try:
            api.delete_file(uploaded["id"])
        except CallFailed:
            note(f"the file is on the server as {uploaded['id']}")
        raise
    except KeyError as error:
        raise InvalidRequest("the server did not answer as a batch API does; is it the right address?") from error
