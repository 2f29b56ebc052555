"""As much of a browser as signing in needs: it keeps cookies, sends them where they belong, and says which page calls."""

import http.client
import json
from http.cookies import Morsel, SimpleCookie
from typing import Any, Protocol

from tests.api.calls import Answer

SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


class Reached(Protocol):
    """Whoever it calls: a server, or what stands before some."""

    address: str


class Browser:
    """One person's browser."""

    def __init__(self, server: Reached, *, host: str | None = None) -> None:
        """`host` is the name that it calls the server by."""
        self.server = server
        self.host = host or server.address
        self.cookies: dict[str, Morsel[str]] = {}

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        cross_site: bool = False,
    ) -> Answer:
        """A call of a page of this server, unless the headers say otherwise. `cross_site`: another site has begun it."""
        sent = {"Host": self.host} | (SAME_ORIGIN if headers is None else headers)
        data = None if body is None else json.dumps(body).encode()
        cookies = [
            f"{name}={cookie.value}"
            for name, cookie in self.cookies.items()
            if path.startswith(cookie["path"]) and not (cross_site and cookie["samesite"].lower() == "strict")
        ]
        if cookies:
            sent["Cookie"] = "; ".join(cookies)
        connection = http.client.HTTPConnection(self.server.address, timeout=30)
        try:
            connection.request(method, path, data, sent)
            answer = connection.getresponse()
            for name, value in answer.getheaders():
                if name.lower() == "set-cookie":
                    self._keep(value)
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()

    def _keep(self, text: str) -> None:
        for name, cookie in SimpleCookie(text).items():
            if cookie["max-age"] == "0":
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = cookie
