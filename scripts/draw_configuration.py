"""Writes docs/configuration.md from the structs of config/sections.py, so that the page cannot drift: `draw_configuration.py`."""

import ast
import inspect
import sys
from pathlib import Path

import msgspec

from slackwater import config

PAGE = Path(__file__).parent.parent / "docs" / "configuration.md"
SECTIONS = (
    config.ServerConfig,
    config.FrontDoorConfig,
    config.LimitsConfig,
    config.WorkerConfig,
    config.ImportsConfig,
    config.WebhooksConfig,
    config.MetricsConfig,
    config.TracingConfig,
    config.AuditConfig,
    config.OidcConfig,
    config.StudioConfig,
    config.EngineConfig,
    config.ResourceConfig,
    config.StorageConfig,
    config.BillingConfig,
    config.PriceConfig,
    config.ContentFilterConfig,
    config.BlocklistConfig,
    config.ClassifierConfig,
    config.ScoresConfig,
    config.CategoryConfig,
    config.ControlPlaneConfig,
    config.DeploymentConfig,
    config.BackendConfig,
    config.EchoConfig,
)
HEAD = """# Configuration

One TOML file, given with `slackwater serve --config FILE`. `slackwater check-config FILE` says what is wrong with it, a line
per fault: first unknown settings and wrong types, then, once there are none of these, values.
This page is drawn from the code by `scripts/draw_configuration.py`.
"""


def sentences(struct: type) -> dict[str, str]:
    """The sentence below each field."""
    body = ast.parse(inspect.getsource(struct)).body[0].body  # type: ignore[attr-defined]
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in zip(body, body[1:], strict=False)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
    }


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for struct in SECTIONS:
        title, _, purpose = inspect.cleandoc(struct.__doc__ or "").partition(": ")
        parts.append(
            f"\n## {title}\n\n{purpose[0].upper()}{purpose[1:]}\n\n| setting | default | meaning |\n|---|---|---|\n"
        )
        meaning = sentences(struct)
        for field in msgspec.structs.fields(struct):
            default = "required" if field.required else default_of(field)
            parts.append(f"| `{field.name}` | {default} | {meaning[field.name]} |\n")
    return "".join(parts)


def default_of(field: msgspec.structs.FieldInfo) -> str:
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return "none" if value in (None, [], {}, "") else f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(PAGE.read_text() != page())
    PAGE.write_text(page())
