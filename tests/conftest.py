"""For all tests: generated cases say nothing about time. A busy machine makes any of them slow, and none of them wrong.

What a shell starts in the background, and all that it starts in its turn, does not hear Ctrl-C; those tests that press it
need processes that do.
"""

import signal

from hypothesis import HealthCheck, settings

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
signal.signal(signal.SIGINT, signal.default_int_handler)
