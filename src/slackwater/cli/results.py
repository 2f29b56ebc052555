"""The two files of a batch on their way to the user's disk."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from slackwater.cli.byte_bar import byte_bar
from slackwater.core.errors import InvalidRequest

if TYPE_CHECKING:
    from slackwater.client.api import Api


def errors_beside(output: Path) -> Path:
    """Where failed requests go: the output's name with `.errors` before its ending."""
    return output.with_name(output.stem + ".errors" + (output.suffix or ".jsonl"))


def check_free(paths: list[Path], *, overwrite: bool) -> None:
    """Raises InvalidRequest where a file would be replaced unasked, or cannot be made. Better now than after hours."""
    for path in paths:
        if path.is_dir():
            raise InvalidRequest(f"{path} is a directory; name a file")
        if path.exists() and not overwrite:
            raise InvalidRequest(f"{path} exists; choose another name, or give --overwrite to replace it")
        if not path.parent.is_dir():
            raise InvalidRequest(f"{path.parent} is no directory; make it first")


def save_results(api: "Api", batch: dict[str, Any], output: Path, *, quiet: bool) -> dict[str, Path]:
    """Downloads what there is; returns where it went. There is an error file only where a request has an error.

    The output is made even where no request was answered: an empty file says so more clearly than none.
    """
    from slackwater.client.downloading import download

    saved: dict[str, Path] = {}
    for kind, key, path in (("output", "output_file_id", output), ("errors", "error_file_id", errors_beside(output))):
        file_id = batch.get(key)
        if file_id:
            with byte_bar(path.name, quiet=quiet) as show:
                size = download(api.connection, file_id, path, show=show)
            # Azure makes an empty error file where nothing failed (spec 4.3).
            if size or kind == "output":
                saved[kind] = path
            else:
                path.unlink()
        elif kind == "output":
            path.write_bytes(b"")
            saved[kind] = path
        else:
            path.unlink(missing_ok=True)
    return saved
