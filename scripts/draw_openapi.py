"""Writes the API document to docs/openapi.json, so that it can be read and compared without a server: `draw_openapi.py`."""

import json
import sys
from pathlib import Path

from slackwater.api.openapi import document

PAGE = Path(__file__).parent.parent / "docs" / "openapi.json"


def page() -> str:
    """The document, in lines that a diff can show."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(PAGE.read_text("utf-8") != page())
    PAGE.write_text(page(), "utf-8")
