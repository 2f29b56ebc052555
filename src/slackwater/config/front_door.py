"""What an operator can choose about connections, before anybody has said who they are."""

import re
from collections.abc import Iterable

from msgspec import Struct

# As browsers write it: small letters, no path, and no port that goes without saying.
ORIGIN = re.compile(r"(?:http://(?!.*:80\Z)|https://(?!.*:443\Z))(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[1-9][0-9]{0,4})?")


class FrontDoorConfig(Struct, frozen=True, kw_only=True):
    """`[front_door]`: limits for everybody who connects, with or without a key. See security.md."""

    connections: int = 2048
    """Most connections at once, and never more than a quarter of the descriptors that the process may have. Beyond that, the \
connection that has waited longest without ever showing a good key makes room."""
    head_bytes: int = 16384
    """Largest head of a request: its first line and its header lines (431, or 414 for the URL alone). The lines around the \
chunks of a body, and its trailers, may have as much."""
    headers: int = 100
    """Most header lines of a request (431)."""
    head_seconds: float = 15.0
    """Time for a whole head, from its first byte, or from the connection's beginning (408)."""
    body_seconds: float = 30.0
    """How long a body may be silent while it is waited for, or bring less than a kilobyte (408)."""
    reader_seconds: float = 60.0
    """How long somebody may take less than a kilobyte of an answer that is waiting for them; then the connection is closed."""
    idle_seconds: float = 75.0
    """How long a connection stays open between two requests. Longer than a proxy before it keeps one, so that it is the proxy \
that closes."""

    def faults(self) -> list[str]:
        """What is wrong, a line per fault."""
        faults = [
            f"[front_door]: {name} must be more than 0"
            for name in ("head_seconds", "body_seconds", "reader_seconds", "idle_seconds")
            if not getattr(self, name) > 0
        ]
        if not 1024 <= self.head_bytes <= 1 << 20:
            faults.append("[front_door]: head_bytes must be between 1024 and 1048576")
        if not 10 <= self.headers <= 10_000:
            faults.append("[front_door]: headers must be between 10 and 10000")
        if not 8 <= self.connections <= 1_000_000:
            faults.append("[front_door]: connections must be between 8 and 1000000")
        return faults


def faults_of_origins(origins: Iterable[str]) -> list[str]:
    """What is wrong with the sites that may call from a browser, a line per fault."""
    return [
        f"[server]: cors_origins: '{origin}' is not a site as browsers write it, such as 'https://app.example' or "
        "'http://localhost:3000'; name each in small letters, without a path, a slash at the end or a usual port"
        for origin in origins
        if not ORIGIN.fullmatch(origin)
    ]
