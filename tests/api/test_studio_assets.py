"""Studio's pages as they are served, and the rules that its modules keep. What they do in a browser is in tests/studio."""

import gzip
import hashlib
import re

import pytest

from slackwater.studio.pages import STATIC, first_modules
from tests.api.calls import Caller
from tests.server import Server

OURS = sorted(path for path in STATIC.rglob("*.js") if "vendor" not in path.parts)
LINES_MAX = 300
IMPORT = re.compile(r"""(?:^(?:import|export)\b[^"'()]*\bfrom\s+|\bimport\()["']([^"']+)["']""", re.MULTILINE)


@pytest.fixture
def browse(server: Server) -> Caller:
    """Whole paths, without a key: the pages are for everybody, what they show is not."""
    return Caller(server, "", key=None)


def test_every_path_is_the_page(browse: Caller) -> None:
    """Any path below /studio is the same page, asked for again each time, behind a policy that allows this host alone."""
    page = browse("GET", "/studio")
    assert page.status == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-cache"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert browse("GET", "/studio/batches/batch_1").body == page.body
    assert browse("GET", "/studio/").body == page.body
    again = browse("GET", "/studio", headers={"If-None-Match": page.headers["etag"]})
    assert (again.status, again.body) == (304, b"")


def test_assets_are_kept_for_ever_and_compressed(browse: Caller) -> None:
    """What the page names is there, may be kept for ever, and travels compressed to whom that suits."""
    page = browse("GET", "/studio").body.decode()
    names = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(names) > 10
    for name in names:
        plain = browse("GET", name)
        assert plain.status == 200, name
        assert "immutable" in plain.headers["cache-control"]
        packed = browse("GET", name, headers={"Accept-Encoding": "gzip"})
        assert packed.headers["content-encoding"] == "gzip"
        assert gzip.decompress(packed.body) == plain.body


def test_another_version_is_not_mixed_in(browse: Caller) -> None:
    """A tab of an older version gets a 404 for what it asks, and nothing outside the folder can be asked for."""
    assert browse("GET", "/studio/assets/0000000000000000/app/main.js").status == 404
    main = re.search(r'src="(/studio/assets/[^"]+)/app/main.js"', browse("GET", "/studio").body.decode())
    assert main is not None
    assert browse("GET", f"{main[1]}/../pages.py").status == 404
    assert browse("GET", f"{main[1]}/index.html").status == 404


def test_a_browser_at_the_root_finds_studio(browse: Caller) -> None:
    """`/` leads a browser to Studio; a program gets the same 404 as before."""
    seen = browse("GET", "/", headers={"Accept": "text/html,application/xhtml+xml"})
    assert (seen.status, seen.headers["location"]) == (302, "/studio")
    program = browse("GET", "/")
    assert (program.status, program.json) == (404, {"error": {"code": "404", "message": "Resource not found"}})


def test_modules_keep_the_rules() -> None:
    """Modules are short and typed, never make markup of data, and import only what is there."""
    assert len(OURS) > 20
    for path in OURS:
        code = path.read_text("utf-8")
        assert code.count("\n") < LINES_MAX, path
        assert "innerHTML" not in code, path
        assert "eval(" not in code, path
        if path.name == "theme_first.js":
            continue
        assert code.startswith("// @ts-check\n"), path
        for target in IMPORT.findall(code):
            assert target.startswith("."), f"{path}: {target}"
            assert (path.parent / target).resolve().is_file(), f"{path}: {target}"


def test_the_first_view_is_fetched_at_once() -> None:
    """All that the list of jobs imports is preloaded, the libraries too, and no other page."""
    modules = first_modules()
    assert "vendor/signals_core.mjs" in modules
    assert "pages/batches_data.js" in modules
    assert "pages/usage.js" not in modules


def test_the_dark_colours_stand_twice_and_agree() -> None:
    """What the toggle applies and what the system applies are the same colours."""
    css = (STATIC / "style/tokens.css").read_text("utf-8")
    blocks = re.findall(r'\[data-theme="(?:dark|light)"\]\)? \{([^}]+)\}', css)
    assert len(blocks) == 2
    first, second = ([line.strip() for line in block.strip().splitlines()] for block in blocks)
    assert first == second


def test_libraries_are_what_their_list_says() -> None:
    """Each vendored module has its line with name, version, licence and digest, and its licence beside it."""
    listed = dict(
        re.findall(r"\| `([^`]+)` \|.*\| `([0-9a-f]{64})` \|", (STATIC / "vendor/README.md").read_text("utf-8"))
    )
    there = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (STATIC / "vendor").glob("*.*js")}
    assert listed == there
    assert len(list((STATIC / "vendor").glob("LICENSE.*"))) >= 4
