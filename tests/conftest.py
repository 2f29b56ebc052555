"""For all tests: generated cases say nothing about time. A busy machine makes any of them slow, and none of them wrong."""

from hypothesis import HealthCheck, settings

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
