"""Which server a command speaks to, and what becomes of the errors on the way: the options that those commands share."""

import functools
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click
from msgspec import Struct

from slackwater import __version__
from slackwater.cli.output import INTERRUPTED, USAGE, WENT_WRONG, fail, json_option, no_color_option, note
from slackwater.core.errors import CallFailed, ConfigError, UserError

if TYPE_CHECKING:
    from slackwater.client.api import Api

F = TypeVar("F", bound=Callable[..., Any])


class Asked(Struct, frozen=True, kw_only=True):
    """What the options say about the server."""

    server: str | None = None
    profile: str | None = None
    api_key_env: str | None = None
    as_json: bool = False

    def command(self, *words: str) -> str:
        """A command line that asks the same server, to be typed by the user."""
        options = (("--server", self.server), ("--profile", self.profile), ("--api-key-env", self.api_key_env))
        return shlex.join(["slackwater", *words, *(word for name, value in options if value for word in (name, value))])

    @property
    def named(self) -> bool:
        """Whether an option names a server."""
        return bool(self.server or self.profile)

    @property
    def named_by(self) -> str:
        """What names a server: an option, a variable, the default profile; empty where nothing does."""
        if self.named:
            return "--server" if self.server else "--profile"
        for name in ("SLACKWATER_URL", "SLACKWATER_PROFILE"):
            if os.environ.get(name):
                return name
        from slackwater.client.profiles import load_profiles, profiles_path

        with told():
            default = load_profiles(profiles_path(os.environ)).default
        return f"the default profile '{default}'" if default else ""


def profile_names(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Profiles, for the shell to complete."""
    from slackwater.client.profiles import load_profiles, profiles_path

    try:
        return [name for name in load_profiles(profiles_path(os.environ)).profiles if name.startswith(incomplete)]
    except ConfigError:
        return []


def server_options(function: F) -> F:
    """Adds the options; the command gets them as `asked`."""
    return _adds(function, "or http://127.0.0.1:8080")


def server_or_data_options(function: F) -> F:
    """The same for a command that has a data directory where nothing names a server."""
    return _adds(function, "or a profile; else no server is asked")


def _adds(function: F, otherwise: str) -> F:
    @functools.wraps(function)
    def command(
        *arguments: Any,
        server: str | None,
        profile: str | None,
        api_key_env: str | None,
        as_json: bool,
        **options: Any,
    ) -> Any:
        asked = Asked(server=server, profile=profile, api_key_env=api_key_env, as_json=as_json)
        return function(*arguments, asked=asked, **options)

    options = (
        click.option("--server", metavar="URL", help=f"The server's address.  [SLACKWATER_URL, {otherwise}]"),
        click.option(
            "--profile", metavar="NAME", shell_complete=profile_names, help="A server of 'slackwater profiles'."
        ),
        click.option("--api-key-env", metavar="NAME", help="Environment variable with the key.  [SLACKWATER_API_KEY]"),
        json_option,
        no_color_option,
    )
    return functools.reduce(lambda made, option: option(made), reversed(options), command)  # type: ignore[return-value]


@contextmanager
def api_of(asked: Asked) -> Iterator["Api"]:
    """The server that was asked for. What goes wrong inside ends the command with one line and its exit code."""
    with told():
        # Imported here: a client costs more than the rest of a command, and `--help` needs none.
        from slackwater.client.api import Api
        from slackwater.client.connection import Connection
        from slackwater.client.profiles import chosen_target

        target = chosen_target(os.environ, server=asked.server, profile=asked.profile, api_key_env=asked.api_key_env)
        with Connection(target, agent=f"slackwater/{__version__}", say=note) as connection:
            yield Api(connection)


@contextmanager
def service_of(asked: Asked, what: str) -> Iterator["Api"]:
    """The server that was asked for, which has to be one of ours and to know the key as its own. `what` it is asked for."""
    with api_of(asked) as api:
        target = api.connection.target
        if not api.ours:
            fail(
                f"{target.url} is spoken to as {target.dialect.name}, and {what} are those of a Slackwater server: "
                "name it with --server or --profile"
            )
        try:
            yield api
        except CallFailed as failed:
            if failed.status != 401:
                raise
            # What such a server says of keys is about its own, and of no use here.
            whose = f" of {target.key_from}" if target.key_from else ""
            heard = "lets nobody in without a key" if target.key is None else f"does not know the key{whose}"
            raise CallFailed(
                f"{target.url} {heard} [HTTP 401]: {what} need a key of a Slackwater service, one of its api_key_envs; "
                f"set {target.key_env} to it, or name its variable with --api-key-env",
                status=failed.status,
            ) from failed


@contextmanager
def told() -> Iterator[None]:
    """Ends the command with one line where something goes wrong inside."""
    try:
        yield
    except CallFailed as failed:
        fail(failed.message, WENT_WRONG)
    except UserError as error:
        fail(error.message, USAGE)
    except ConfigError as error:
        fail("; ".join(error.faults), USAGE)
    except BrokenPipeError:
        # Whoever read our output has seen enough. What Python still holds of it must not fail again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(WENT_WRONG)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), WENT_WRONG)
    except KeyboardInterrupt:
        fail("interrupted", INTERRUPTED)
