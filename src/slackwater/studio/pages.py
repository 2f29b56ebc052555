"""Serves Studio: one page for every path below `/studio`, and the modules and styles that it is made of.

All assets lie under a path with a digest of their contents, so a browser may keep them for ever and never mixes two
versions. The page itself is asked for again every time (and mostly answered with 304). Nothing here knows about users: the
page calls the public API, which asks who they are.
"""

import functools
import gzip
import mimetypes
import re
from hashlib import blake2b
from pathlib import Path
from posixpath import dirname, join, normpath

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

STATIC = Path(__file__).parent / "static"
SERVED = {".css", ".js", ".mjs", ".svg", ".txt"}
# What the first view needs at once; what these import is found by reading them.
FIRST_MODULES = ("app/main.js", "pages/batches.js")
STATIC_IMPORT = re.compile(r"""^(?:import|export)\b[^"'()]*?\bfrom ?["'](\.[^"']+)["']""", re.MULTILINE)
VENDORED_IMPORT = re.compile(r"""\bfrom ?["'](\./[^"']+)["']""")
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        # Images in prompts are data: urls; those at other hosts are shown as links and never loaded.
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "font-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Vary": "Accept-Encoding",
}
FOR_EVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"


class Page(Struct, frozen=True):
    """Bytes to send, plain and compressed, and what they are."""

    body: bytes
    compressed: bytes
    media_type: str
    etag: str


def studio_routes() -> list[Route]:
    """The routes of Studio. They belong behind all others: any path below `/studio` that is no asset is the page."""
    return [
        Route("/", _root),
        Route("/studio", _index),
        Route("/studio/assets/{version}/{path:path}", _asset),
        Route("/studio/{path:path}", _index),
    ]


async def _root(request: Request) -> Response:
    """Somebody who types the address into a browser wants Studio; a program gets what it got before."""
    if "text/html" in request.headers.get("accept", ""):
        return RedirectResponse("/studio", 302)
    return Response(b'{"error":{"code":"404","message": "Resource not found"}}', 404, media_type="application/json")


async def _index(request: Request) -> Response:
    return _answer(request, _index_page(), ASK_AGAIN)


async def _asset(request: Request) -> Response:
    path = request.path_params["path"]
    # A tab that is older than the service must not get half of its modules from another version.
    if request.path_params["version"] != assets_version() or path not in _names():
        return Response(
            "There is no such file in this version of Studio; load the page again.\n", 404, HEADERS, "text/plain"
        )
    return _answer(request, _asset_page(path), FOR_EVER)


def _answer(request: Request, page: Page, caching: str) -> Response:
    headers = {**HEADERS, "ETag": page.etag, "Cache-Control": caching}
    if request.headers.get("if-none-match") == page.etag:
        return Response(None, 304, headers)
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(page.body, 200, headers, page.media_type)
    return Response(page.compressed, 200, {**headers, "Content-Encoding": "gzip"}, page.media_type)


@functools.cache
def _names() -> frozenset[str]:
    files = (path for path in STATIC.rglob("*") if path.suffix in SERVED and path.is_file())
    return frozenset(path.relative_to(STATIC).as_posix() for path in files)


@functools.cache
def assets_version() -> str:
    """A digest over the names and contents of all assets."""
    digest = blake2b(digest_size=8)
    for name in sorted(_names()):
        content = (STATIC / name).read_bytes()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


@functools.cache
def _asset_page(name: str) -> Page:
    kind = "text/javascript" if name.endswith("js") else mimetypes.guess_type(name)[0] or "text/plain"
    return _page((STATIC / name).read_bytes(), kind)


@functools.cache
def _index_page() -> Page:
    base = f"/studio/assets/{assets_version()}"
    preload = "\n".join(f'    <link rel="modulepreload" href="{base}/{name}">' for name in first_modules())
    text = (STATIC / "index.html").read_text("utf-8")
    return _page(text.replace("{assets}", base).replace("    {preload}", preload).encode(), "text/html")


def _page(body: bytes, media_type: str) -> Page:
    etag = f'"{blake2b(body, digest_size=8).hexdigest()}"'
    return Page(body, gzip.compress(body, 9, mtime=0), media_type, etag)


def first_modules() -> list[str]:
    """The modules of the first view: fetched at once instead of one import after the other."""
    found: list[str] = []
    waiting = list(FIRST_MODULES)
    while waiting:
        name = waiting.pop(0)
        if name in found:
            continue
        found.append(name)
        pattern = VENDORED_IMPORT if name.startswith("vendor/") else STATIC_IMPORT
        code = (STATIC / name).read_text("utf-8")
        waiting += [normpath(join(dirname(name), path)) for path in pattern.findall(code)]
    return found
