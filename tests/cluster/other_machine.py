"""A server as it would be on another machine, or of another version: `python -m tests.cluster.other_machine serve ...`.

SLACKWATER_TEST_MACHINE says how it is different. `own-locks`: it sees none of the others', as on NFS with nolock. `no-locks`: its
file system has none. `older`: it leaves word as the versions before locks did. `copy`: as any other. `nolock`, `memory`: its
system says that the directory is mounted like that.
"""

import errno
import fcntl
import os

from slackwater.adapters.disk.announcements import Announcements
from slackwater.cli import main
from slackwater.core.files.shared_directory import Mount
from slackwater.wiring import acquaintance, belonging
from slackwater.wiring.doctor import data

MOUNTS = {
    "nolock": Mount(kind="nfs4", options=frozenset({"rw", "hard", "vers=3", "nolock"})),
    "memory": Mount(kind="tmpfs", options=frozenset({"rw"})),
}
_held: dict[int, dict[int, int]] = {}


def own_locks(descriptor: int, operation: int) -> None:
    """The kernel of this machine knows of nobody else: among those who are here, a lock is one."""
    file = os.fstat(descriptor).st_ino
    holders = _held.setdefault(file, {})
    for each in list(holders):
        try:
            if os.fstat(each).st_ino != file:
                del holders[each]
        except OSError:
            # It was closed.
            del holders[each]
    others = [mode for each, mode in holders.items() if each != descriptor]
    if any(fcntl.LOCK_EX & (mode | operation) for mode in others):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    holders[descriptor] = operation


def no_locks(file: object, operation: int) -> None:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def left_empty(words: Announcements, member: str) -> bool:
    (words.folder / member).touch()
    return True


def become(kind: str) -> None:
    """From now on this process is one of that kind."""
    # Nobody has died here: nothing is waited for.
    belonging.UNLOCKED_SECONDS = 2.0
    if kind == "older":
        Announcements.announce = left_empty  # type: ignore[method-assign]
    elif kind in MOUNTS:
        acquaintance.mount_of = data.mount_of = lambda path: MOUNTS[kind]
    elif kind != "copy":
        fcntl.flock = {"own-locks": own_locks, "no-locks": no_locks}[kind]


if __name__ == "__main__":
    become(os.environ["SLACKWATER_TEST_MACHINE"])
    main()
