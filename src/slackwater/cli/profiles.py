"""`slackwater profiles`: names for servers, so that nobody types addresses. Keys stay where keys are kept."""

import os

import click

from slackwater.cli.output import json_option, no_color_option, note, print_json, print_rows
from slackwater.cli.server_options import profile_names, told
from slackwater.core.errors import InvalidRequest


@click.group("profiles")
def command() -> None:
    """Names for servers: 'slackwater batches list --profile work'.

    They are kept in ~/.config/slackwater/profiles.toml (or below XDG_CONFIG_HOME), which may be edited by hand. A key is never
    in it: say which environment variable holds it, or which command prints it.

    \b
    Exit codes: 0 done, 1 it went wrong, 2 wrong usage.
    \b
    Examples:
      slackwater profiles add work https://batch.example --api-key-env BATCH_KEY --use
      slackwater profiles add azure https://NAME.openai.azure.com --api-key-env AZURE_OPENAI_API_KEY
    """


@command.command("list")
@json_option
@no_color_option
def list_profiles(as_json: bool) -> None:
    """List them.

    In a pipe, each is a line with tabs between: name, default or nothing, url, dialect, where the key comes from.
    """
    from slackwater.client.profiles import load_profiles, profiles_path
    from slackwater.client.target import target_of

    with told():
        found = load_profiles(profiles_path(os.environ))
        if as_json:
            print_json(
                [
                    {"name": name, "default": name == found.default, "profile": each}
                    for name, each in found.profiles.items()
                ]
            )
            return
        rows = []
        for name, each in found.profiles.items():
            target = target_of(each.url, dialect=each.dialect, api_version=each.api_version)
            key = each.api_key_env or (each.api_key_command and "a command") or target.key_env
            rows.append((name, "default" if name == found.default else "", each.url, target.dialect.name, key))
        print_rows(
            ("name", "", "url", "dialect", "key"), rows, nothing="no profiles; make one with 'slackwater profiles add'"
        )


@command.command("add")
@click.argument("name")
@click.argument("url")
@click.option("--api-key-env", metavar="NAME", help="Environment variable that holds the key.")
@click.option("--api-key-command", metavar="COMMAND", help="Command of the shell that prints the key, or a token.")
@click.option(
    "--dialect", type=click.Choice(["slackwater", "azure", "azure-v1", "openai"]), help="[default: by the url]"
)
@click.option("--api-version", metavar="VERSION", help="For Azure's dated API.  [default: 2024-10-21]")
@click.option("--use", is_flag=True, help="Make it the default.")
@no_color_option
def add(
    name: str,
    url: str,
    api_key_env: str | None,
    api_key_command: str | None,
    dialect: str | None,
    api_version: str | None,
    use: bool,
) -> None:
    """Add a server, or change one. The first is the default."""
    from slackwater.client.profiles import NAME, Profile, load_profiles, profiles_path, save_profile
    from slackwater.client.target import target_of

    with told():
        if NAME.fullmatch(name) is None:
            raise InvalidRequest("a name has letters, digits, '-' and '_', up to 64 of them")
        if api_key_env and api_key_command:
            raise InvalidRequest("give --api-key-env or --api-key-command, not both")
        target = target_of(url, dialect=dialect, api_version=api_version)
        path = profiles_path(os.environ)
        profile = Profile(
            url=url.strip(),
            dialect=dialect,
            api_version=api_version,
            api_key_env=api_key_env,
            api_key_command=api_key_command,
        )
        save_profile(path, name, profile, default=use or not load_profiles(path).profiles)
        key = "a command's output" if api_key_command else f"the environment variable {api_key_env or target.key_env}"
        note(f"{path}: '{name}' is {target.url}, spoken to as {target.dialect.name}, with the key in {key}")


@command.command("use")
@click.argument("name", shell_complete=profile_names)
@no_color_option
def use_one(name: str) -> None:
    """Make a server the default."""
    from slackwater.client.profiles import profiles_path, use_profile

    with told():
        use_profile(profiles_path(os.environ), name)


@command.command("remove")
@click.argument("name", shell_complete=profile_names)
@no_color_option
def remove(name: str) -> None:
    """Forget a server."""
    from slackwater.client.profiles import profiles_path, remove_profile

    with told():
        remove_profile(profiles_path(os.environ), name)
