"""`slackwater health`: asks a server whether it is well, for containers and scripts that have no curl."""

import http.client
import json
import sys
import urllib.parse

import click

from slackwater.client.certificates import why_distrusted
from slackwater.client.target import DEFAULT_URL, target_of
from slackwater.core.errors import InvalidRequest


@click.command("health")
@click.option(
    "--server",
    "--url",
    "server",
    metavar="URL",
    envvar="SLACKWATER_URL",
    default=DEFAULT_URL,
    help=f"The server's address; --url is the same.  [SLACKWATER_URL, or {DEFAULT_URL}]",
)
@click.option("--ready", is_flag=True, help="Ask whether it should be given work (/readyz), not only whether it lives.")
@click.option("--timeout", type=float, default=5.0, show_default=True, help="Seconds to wait for an answer.")
def command(server: str, ready: bool, timeout: float) -> None:
    """Ask a server whether it is well.

    Exit code 0: it is. 1: it is not, or does not answer; the reasons are printed.
    """
    try:
        url = target_of(server).url
    except InvalidRequest as error:
        raise click.UsageError(error.message) from error
    parts = urllib.parse.urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=timeout)
    try:
        connection.request("GET", parts.path.rstrip("/") + ("/readyz" if ready else "/healthz"))
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        click.echo(f"error: {why_distrusted(url, error) or f'{url} does not answer: {error}'}", err=True)
        sys.exit(1)
    finally:
        connection.close()
    if answer.status == 200:
        click.echo("ready" if ready else "ok")
        return
    try:
        reasons = [f"{reason['code']}: {reason['message']}" for reason in json.loads(body)["reasons"]]
    except (ValueError, KeyError, TypeError):
        reasons = [f"status {answer.status}"]
    for reason in reasons:
        click.echo(f"error: {reason}", err=True)
    sys.exit(1)
