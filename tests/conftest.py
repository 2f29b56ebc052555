"""For all tests: generated cases say nothing about time. A busy machine makes any of them slow, and none of them wrong.

What a shell starts in the background, and all that it starts in its turn, does not hear Ctrl-C; those tests that press it
need processes that do.
"""

import os
import signal

from hypothesis import HealthCheck, settings

# Where `CI` is set, the same cases come every time: what fails there fails here, too.
settings.register_profile(
    "patient", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=bool(os.environ.get("CI"))
)
settings.load_profile("patient")
signal.signal(signal.SIGINT, signal.default_int_handler)
