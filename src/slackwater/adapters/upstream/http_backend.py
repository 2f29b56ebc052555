"""The Backend that speaks HTTP to any OpenAI-compatible endpoint.

The client is made for one thing: many small JSON calls to few servers, at the lowest cost per call. Why it is not a
library: docs/decisions/http-client.md.
"""

import asyncio
import re
import ssl
import urllib.parse
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

import msgspec

from slackwater import __version__
from slackwater.adapters.outside.dialing import Judge
from slackwater.adapters.upstream.http_pool import Pool, Pools, Timeouts
from slackwater.adapters.upstream.http_reply import ReplyTooLarge
from slackwater.adapters.upstream.http_stream import Heard
from slackwater.core.errors import BackendReplyBroken
from slackwater.core.masking import Secrets
from slackwater.core.outside.proxies import Proxy
from slackwater.core.sending.budget import ANSWER_BYTES_MAX, Budget
from slackwater.core.sending.forms import FORMED, NoForm, form_of
from slackwater.core.sending.metrics_page import PAGE_BYTES_MAX
from slackwater.core.sending.request import Reply

# Far above any chat answer; a large batch of embeddings has some 30 MiB. What it bounds is our memory.
REPLY_BYTES_MAX = ANSWER_BYTES_MAX
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
AS_JSON = "Content-Type: application/json\r\nContent-Length: "
# Pictures of more than this are made files of elsewhere.
FORM_BYTES_INLINE = 1 << 18

# RFC 9110: what a name may be made of, and what a value may not hold.
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
# What frames a message is the client's own business; a second one of these would let a request be read as two.
OURS = frozenset(
    {"connection", "content-length", "content-type", "expect", "te", "trailer", "transfer-encoding", "upgrade"}
)
# An answer that is longer than this is none of those in which there is only an error.
TELLING_BYTES_MAX = 4096
# So far it is looked whether a server says back what it was given.
SAID_BYTES_MAX = 4 << 20
# A metrics page is for the moment: what comes late is of no use.
PAGE_TIMEOUTS = Timeouts(connect=2.0, first_byte=2.0, total=3.0)
# More paths than any API has. A caller with more of them is served, only a little slower.
HEADS_MAX = 64


class HttpBackend:
    """One server, named by the URL up to where `/chat/completions` follows; a query in it is kept behind every path."""

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str] = NO_HEADERS,
        timeouts: Timeouts | None = None,
        reply_bytes_max: int = REPLY_BYTES_MAX,
        connections_max: int = 1024,
        keep_alive_seconds: float = 15.0,
        tls: ssl.SSLContext | None = None,
        budget: Budget | None = None,
        pools: Pools | None = None,
        proxy: Proxy | None = None,
        paths: Mapping[str, str] = NO_HEADERS,
        forms: bool = False,
        judge: Judge | None = None,
    ) -> None:
        """`headers` go with every call and replace ours of the same name. `tls` replaces the default context, which
        verifies certificates. More calls than `connections_max` wait their turn. Large answers are read as far as the
        `budget` has room for them; without one, all at once. With `pools`, connections are shared with others who call the
        same server with the same bounds, unless there is a `tls`. With a `proxy`, https goes through a tunnel of it, and http
        is asked of it. `paths` are those, from the server's root, of endpoints that it has elsewhere. `forms`: edits of images
        and videos are asked for in multipart. `judge` raises OSError where an address of the host is none to connect to; what a
        proxy connects to is not seen. Raises ValueError with what to correct.
        """
        url = _parse(base_url)
        secure = url.scheme == "https"
        port = url.port or (443 if secure else 80)
        host = url.hostname or ""
        self._path = url.path.rstrip("/")
        self._for_proxy = ""
        tunnel = proxy if secure else None
        if proxy is not None and not secure:
            # RFC 9112, 3.2.2: a proxy is told the whole URL.
            self._path = f"http://{url.netloc}{self._path}"
            if proxy.authorization:
                self._for_proxy = f"Proxy-Authorization: {proxy.authorization}\r\n"
            host, port = proxy.host, proxy.port
        self._paths = dict(paths)
        self._forms = forms
        self._query = url.query
        self._host = url.netloc.rstrip(":")
        self._common = _header_lines(self._host, headers)
        self._secrets = Secrets(headers.items(), url.query)
        self._has_secrets = bool(self._secrets)
        self._heads: dict[str, bytes] = {}
        self._closed = False
        # A context of the caller's own is nobody else's.
        open_pool = partial(
            (Pools() if pools is None or tls is not None else pools).of,
            host,
            port,
            tls=(lambda: tls or _usual_tls()) if secure else None,
            keep_alive_seconds=keep_alive_seconds,
            proxy=tunnel,
            judge=None if proxy is not None else judge,
        )
        self._pool = open_pool(
            timeouts=timeouts or Timeouts(),
            reply_bytes_max=reply_bytes_max,
            connections_max=connections_max,
            budget=budget,
        )
        # Calls that wait for a connection must not keep the page waiting.
        self._open_page_pool = partial(
            open_pool, timeouts=PAGE_TIMEOUTS, reply_bytes_max=PAGE_BYTES_MAX, connections_max=1
        )
        self._page_pool: Pool | None = None
        self._root = f"http://{url.netloc}" if proxy is not None and not secure else ""

    def use_headers(self, headers: Mapping[str, str]) -> None:
        """Other headers for every call from now on; what is out is not touched. Raises ValueError, and changes nothing."""
        self._common = _header_lines(self._host, headers)
        self._secrets = Secrets(headers.items(), self._query)
        self._has_secrets = bool(self._secrets)
        self._heads.clear()

    async def send(self, path: str, body: bytes, *, heard: Heard | None = None) -> Reply:
        """One POST of JSON. Redirects and errors are replies like any other; BackendError means there is no whole answer."""
        if self._forms and path in FORMED:
            return await self._send_form(path, body)
        head = self._heads.get(path)
        if head is None:
            head = self._head("POST", path, AS_JSON)
            if len(self._heads) < HEADS_MAX:
                self._heads[path] = head
        reply = await self._pool.call(head + b"%d\r\n\r\n" % len(body), body, path, heard)
        return self._discreet(reply) if self._has_secrets else reply

    async def _send_form(self, path: str, body: bytes, more: bytes = b"") -> Reply:
        """One POST of the form that a JSON body becomes; 400 for one that becomes none, as if the server had said so."""
        try:
            if len(body) > FORM_BYTES_INLINE:
                kind, form = await asyncio.to_thread(form_of, path, body)
            else:
                kind, form = form_of(path, body)
        except NoForm as error:
            said = {"message": f"This backend takes pictures as files: {error}.", "type": "invalid_request_error"}
            return Reply(400, msgspec.json.encode({"error": said | {"param": None, "code": "not_sent"}}))
        head = self._head("POST", path, f"Content-Type: {kind.decode()}\r\nContent-Length: {len(form)}\r\n")
        return self._discreet(await self._pool.call(head + more + b"\r\n", form))

    def _discreet(self, reply: Reply) -> Reply:
        """What a server says when it is not content, without what it was given to let us in."""
        said = reply.body
        if reply.status == 200 and (len(said) > TELLING_BYTES_MAX or b'"error' not in said) and said.startswith(b"{"):
            return reply
        secrets, location = self._secrets, reply.location
        if location is not None:
            location = secrets.taken_out(location.encode("latin-1", "replace")).decode("latin-1")
        body = secrets.taken_out(said[:SAID_BYTES_MAX]) + said[SAID_BYTES_MAX:]
        return msgspec.structs.replace(reply, body=body, location=location)

    async def send_with(self, path: str, body: bytes, more: bytes, *, heard: Heard | None = None) -> Reply:
        """The same with another header line or more, each with its end. They are the caller's own, and not looked at."""
        if self._forms and path in FORMED:
            return await self._send_form(path, body, more)
        head = self._head("POST", path, AS_JSON)
        return self._discreet(await self._pool.call(head + b"%d\r\n%b\r\n" % (len(body), more), body, path, heard))

    async def get(self, path: str) -> Reply:
        """One GET, for asking a server what it has."""
        return self._discreet(await self._pool.call(self._head("GET", path, "\r\n"), b""))

    async def metrics(self) -> Reply:
        """The metrics page at the server's root, over a connection of its own. Nobody is shown it, so nothing is taken out."""
        if self._page_pool is None:
            self._page_pool = self._open_page_pool()
        head = f"GET {self._root}/metrics HTTP/1.1\r\n{self._common}{self._for_proxy}\r\n"
        try:
            return await self._page_pool.call(head.encode("latin-1"), b"")
        except ReplyTooLarge as error:
            # The limit is not that of answers, and nobody can configure it.
            text = f"the page is larger than {PAGE_BYTES_MAX >> 20} MiB, the most that is read of a metrics page"
            raise BackendReplyBroken(text, final=True) from error

    async def close(self) -> None:
        """Closes idle connections. Calls under way go on; new ones are refused."""
        if not self._closed:
            self._closed = True
            await self._pool.close()
            if self._page_pool is not None:
                await self._page_pool.close()

    def _head(self, method: str, path: str, last: str) -> bytes:
        """The head up to its own headers, then `last`."""
        if not path.startswith("/") or not _printable(path) or "#" in path:
            raise ValueError(f"the path {path!r} must look like /chat/completions")
        target = self._path + path
        for endpoint, elsewhere in self._paths.items():
            if path == endpoint or path.startswith(endpoint + "/"):
                target = self._root + elsewhere.rstrip("/") + path[len(endpoint) :]
        if self._query:
            target += ("&" if "?" in path else "?") + self._query
        return f"{method} {target} HTTP/1.1\r\n{self._common}{self._for_proxy}{last}".encode("latin-1")


def _usual_tls() -> ssl.SSLContext:
    tls = ssl.create_default_context()
    tls.set_alpn_protocols(["http/1.1"])
    return tls


def _parse(base_url: str) -> urllib.parse.SplitResult:
    """The parts of a usable URL. Raises ValueError, without repeating what may be a password."""
    if not _printable(base_url):
        raise ValueError("the URL must be ASCII without spaces; percent-encode the rest")
    try:
        url = urllib.parse.urlsplit(base_url)
        port = url.port
    except ValueError as error:
        raise ValueError(f"the URL must look like http://host:port/v1: {error}") from error
    if url.scheme not in ("http", "https") or not url.hostname or port == 0:
        raise ValueError("the URL must look like http://host:port/v1")
    if "@" in url.netloc:
        raise ValueError("the URL must not hold a user or password; send credentials as a header")
    if "#" in base_url:
        raise ValueError("the URL must not hold a fragment ('#'); servers never see it")
    return url


def _header_lines(host: str, headers: Mapping[str, str]) -> str:
    """The header lines of every request, ours first. Raises ValueError."""
    merged = {
        "host": ("Host", host),
        "user-agent": ("User-Agent", f"slackwater/{__version__}"),
        "accept": ("Accept", "application/json"),
        "accept-encoding": ("Accept-Encoding", "identity"),
    }
    for name, value in headers.items():
        if not HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a header")
        if name.lower() in OURS:
            raise ValueError(f"header {name} is set by the client and cannot be replaced")
        # The value is not repeated: it is often a key.
        if not HEADER_VALUE.fullmatch(value):
            raise ValueError(f"header {name} has a line break or another character that HTTP does not allow")
        merged[name.lower()] = (name, value.strip())
    return "".join(f"{name}: {value}\r\n" for name, value in merged.values())


def _printable(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text
