"""Etags in headers: `ETag` in answers, `If-Match` and `If-None-Match` in calls that change something (RFC 9110, 13.1)."""

import re

from starlette.requests import Request

from slackwater.api.operation import Parameter
from slackwater.core.accounts.preconditions import Precondition

# One tag of a list. Without quotes it is taken too: people copy it out of JSON. `W/` is what a proxy that compresses puts
# before a tag; it names the same version.
TAG = re.compile(r'(?:W/)?"([^"]*)"|([^\s,"]+)')
CONDITIONS = (
    Parameter(
        name="If-Match",
        description="Only if the object has this etag; `*`: only if it is there.",
        schema={"type": "string"},
        place="header",
    ),
    Parameter(
        name="If-None-Match",
        description="`*`: only if the object is not there. An etag: only if it has another one.",
        schema={"type": "string"},
        place="header",
    ),
)


def precondition_of(request: Request) -> Precondition:
    """What the caller wants to be so. A header that has no etag in it is one that nothing fits."""
    return Precondition(match=_tags(request, "If-Match"), none_match=_tags(request, "If-None-Match"))


def quoted(etag: str) -> str:
    """An etag as headers have it, and the JSON of Azure's control plane too."""
    return f'"{etag}"'


def _tags(request: Request, name: str) -> frozenset[str] | None:
    given = request.headers.getlist(name)
    return frozenset(inside or bare for inside, bare in TAG.findall(",".join(given))) if given else None
