"""What the command line of `slackwater run` asks for, and the service that it makes of it."""

from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from slackwater.cli.patience import Patience
from slackwater.config import BackendConfig, Config, DeploymentConfig, EngineConfig, WorkerConfig
from slackwater.core.accounts.price import Price
from slackwater.core.endpoints import REQUIRED_KEY
from slackwater.core.input.line_judge import EACH_LINE, EACH_LINE_ANY_MODEL

DEPLOYMENT = "run"
ERRORS_MAX = 1000
# In the metadata of a batch that sends failed lines again: how long OUTPUT was before.
OUTPUT_BYTES = "output_bytes"


class Job(Struct, frozen=True, kw_only=True):
    """What the command line asked for."""

    input: Path
    """A file that can be read again."""
    digest: str | None = None
    """What tells its bytes from others, where they came from standard input or a pipe."""
    name: str
    """What the input is called."""
    table: bool = False
    """Whether its requests were made of rows."""
    output: Path
    errors: Path
    backend: BackendConfig
    key: str | None
    pace: str | None = None
    """How much of the engine it takes beside others."""
    commit_seconds: float = 0.2
    grace_seconds: float = 20.0
    requests_max: int = 0
    patience: Patience
    """When it stops before its end."""
    replaces: bool = False
    """Whether answers that are there already may go."""
    retry_failed: bool = False
    """Whether the lines of `errors` are sent again instead of all."""
    calls_per_line: int | None = None
    """Calls of one line that an engine may take and bring nothing of."""
    price: Price | None = None
    """Of the answers."""
    skip_invalid: bool = False
    """Whether wrong lines are left out instead of refusing the input."""
    in_order: bool = False
    """Whether results are put into the order of the input."""
    print: Callable[[bytes], None] | None = None
    """Gets the answers at the end, where they go to standard output instead of `output`."""
    follow: Callable[[bytes], None] | None = None
    """Gets the answers as they come; called in a thread."""

    @property
    def state(self) -> Path:
        """Where the unfinished run lives."""
        return self.output.with_name(self.output.name + ".slackwater")

    @property
    def left_out(self) -> Path:
        """Where lines about what is left out wait for the end."""
        return self.state / "left-out.jsonl"

    @property
    def answers_beside(self) -> Path:
        """Where answers go that standard output has not taken."""
        name = self.errors.name
        return self.errors.with_name(name.removesuffix(".jsonl").removesuffix(".errors") + ".answers.jsonl")

    @property
    def family(self) -> str:
        """The family of rules that its lines have to keep."""
        return EACH_LINE if self.backend.model is None else EACH_LINE_ANY_MODEL

    def config(self) -> Config:
        """The job as a service sees it: one deployment that takes every model name."""
        backend = msgspec.structs.replace(self.backend, api_key_env="key" if self.key else None)
        config = Config(
            deployments=(
                DeploymentConfig(name=DEPLOYMENT, model=DEPLOYMENT, endpoints=list(REQUIRED_KEY), backends=[backend]),
            ),
            engines=() if self.pace is None else (EngineConfig(url=backend.url or "", pace=self.pace),),
            backend_keys={"key": self.key} if self.key else {},
            worker=WorkerConfig(commit_seconds=self.commit_seconds, grace_seconds=self.grace_seconds),
        )
        limits = msgspec.structs.replace(
            config.limits, requests_per_file=self.requests_max, embedding_inputs=0, validation_errors=ERRORS_MAX
        )
        return msgspec.structs.replace(config, limits=limits)
