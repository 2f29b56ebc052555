"""How many descriptors (open files and connections) this process may have."""

import contextlib
import resource


def raise_descriptor_limit() -> int:
    """Takes all that the system would give, and returns how many that are.

    The lower, soft limit of 1,024 is there for programs that use select(2), which this one does not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # Some systems say that there is no limit, and then do not take that for one.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else 1 << 20
