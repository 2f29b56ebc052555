"""Runs the script that is named, which may reach nothing but this machine: one attempt fails it, swallowed ones too.

Started by tests/clients/test_packages.py. What code in other languages does behind Python's back is not seen.
"""

import atexit
import ipaddress
import os
import runpy
import sys
from typing import Any

attempts: set[str] = set()


def outside(host: Any) -> bool:
    """Whether a host, as the socket module takes it, is not this machine."""
    name = host.decode() if isinstance(host, bytes) else host
    if not name or name == "localhost":
        return False
    try:
        return not ipaddress.ip_address(name).is_loopback
    except ValueError:
        return True


def watch(event: str, args: tuple[Any, ...]) -> None:
    """Refuses, and remembers, what would leave this machine."""
    if event == "socket.getaddrinfo":
        host = args[0]
    elif event in ("socket.connect", "socket.sendto") and isinstance(args[1], tuple):
        host = args[1][0]
    else:
        return
    if outside(host):
        attempts.add(str(host))
        raise ConnectionRefusedError(f"a walk asks nobody but the server: {host}")


def settle() -> None:
    """Registered first, so it comes last: what a package sends when everything is over counts, too."""
    if attempts:
        print(f"error: the walk wanted to reach {sorted(attempts)}", file=sys.stderr, flush=True)
        os._exit(1)


atexit.register(settle)
sys.addaudithook(watch)
runpy.run_path(sys.argv[1], run_name="__main__")
