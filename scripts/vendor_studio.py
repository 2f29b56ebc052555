"""Fetches the libraries that Studio's pages use, and makes them modules that a browser can load without a build step.

    python scripts/vendor_studio.py

`npm pack` brings each package at its pinned version. Names of packages in imports become relative paths (an import map
would have to stand in the page as an inline script, which its content security policy forbids), and vendor/README.md says
what came from where. To update: change a version here, run it, run `make test-studio`.
"""

import hashlib
import json
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path

VENDOR = Path(__file__).parent.parent / "src/slackwater/studio/static/vendor"
# Package, version, and the modules that are taken out of it: their path inside, and their name here.
PACKAGES = (
    ("preact", "11.2.0", {"dist/preact.mjs": "preact.mjs", "hooks/dist/hooks.mjs": "preact_hooks.mjs"}),
    ("htm", "3.1.1", {"dist/htm.mjs": "htm.mjs"}),
    ("@preact/signals-core", "1.14.5", {"dist/signals-core.mjs": "signals_core.mjs"}),
    ("@preact/signals", "2.11.4", {"dist/signals.mjs": "signals.mjs"}),
    # One file that defines `Chart` for all scripts; only the page Usage loads it.
    ("chart.js", "4.6.1", {"dist/chart.umd.min.js": "chart.js"}),
)
IMPORTED = {
    "preact": "./preact.mjs",
    "preact/hooks": "./preact_hooks.mjs",
    "@preact/signals-core": "./signals_core.mjs",
}
BARE = re.compile(r"""(\bfrom|\bimport) ?(["'])([^"'.][^"']*)\2""")
SOURCE_MAP = re.compile(r"\n?//# sourceMappingURL=\S+\s*$")


def main() -> None:
    """Takes every package, writes its modules and licence, and then the list of them."""
    VENDOR.mkdir(parents=True, exist_ok=True)
    rows = [row for name, version, modules in PACKAGES for row in _take(name, version, modules)]
    (VENDOR / "README.md").write_text(_readme(rows), "utf-8")


def _take(name: str, version: str, modules: dict[str, str]) -> list[str]:
    with tempfile.TemporaryDirectory() as scratch:
        command = ["npm", "pack", "--silent", f"{name}@{version}", "--pack-destination", scratch]
        subprocess.run(command, check=True, capture_output=True)
        (archive,) = Path(scratch).glob("*.tgz")
        with tarfile.open(archive) as package:
            package.extractall(scratch, filter="data")
        inside = Path(scratch) / "package"
        licence = json.loads((inside / "package.json").read_text("utf-8"))["license"]
        (text_file,) = inside.glob("LICENSE*")
        text = text_file.read_text("utf-8")
        (VENDOR / f"LICENSE.{name.removeprefix('@').replace('/', '-')}.txt").write_text(text, "utf-8")
        rows = []
        for source, target in modules.items():
            code = SOURCE_MAP.sub("\n", (inside / source).read_text("utf-8"))
            code = BARE.sub(lambda match: f'{match[1]} "{IMPORTED[match[3]]}"', code)
            (VENDOR / target).write_text(code, "utf-8")
            digest = hashlib.sha256((VENDOR / target).read_bytes()).hexdigest()
            rows.append(f"| `{target}` | {name} {version}, `{source}` | {licence} | `{digest}` |")
        return rows


def _readme(rows: list[str]) -> str:
    lines = [
        "# Libraries of others",
        "",
        "Written by `scripts/vendor_studio.py`; do not edit. Each package's licence lies beside its modules. Imports of other",
        "packages were made relative, and the lines that point to source maps taken out; nothing else is changed.",
        "",
        "| file | from | licence | SHA-256 |",
        "|---|---|---|---|",
        *rows,
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
