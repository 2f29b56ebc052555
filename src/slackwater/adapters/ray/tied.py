"""Becomes a program that ends, by SIGKILL, when the process that has begun it ends: `python tied.py PARENT PROGRAM ...`.

The kernel sees to it (prctl, Linux), however the other one ends. It knows threads, too: the thread that has begun this one has to
stay as long as its process. A file of its own, that imports nothing of ours, because it is run in each start of a worker.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: str, *command: str) -> None:
    """Does not come back."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != int(parent):
        # It has ended in between, and the kernel says nothing any more.
        sys.exit("whoever has begun this has ended")
    os.execv(command[0], command)  # noqa: S606 - what it is given is its parent's


if __name__ == "__main__":
    main(*sys.argv[1:])
