"""Puts everything together: configuration in, a service out. The only room that knows every other.

Order of a start: lock the directory, open the ledger, give back what dead workers held, then run the stages. Order of a
stop: no new claims, a bounded time for what is in flight, journal, give the shards back, close.
"""

from slackwater.wiring.checks import check_backends
from slackwater.wiring.deployments import Shared, deployment_record, dispatchers_of
from slackwater.wiring.doors import fetcher_of, sender_of, sign_in_of, verifier_of
from slackwater.wiring.opening import open_service
from slackwater.wiring.service import Service
from slackwater.wiring.tracing import tracing_of

__all__ = [
    "Service",
    "Shared",
    "check_backends",
    "deployment_record",
    "dispatchers_of",
    "fetcher_of",
    "open_service",
    "sender_of",
    "sign_in_of",
    "tracing_of",
    "verifier_of",
]
