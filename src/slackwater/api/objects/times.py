"""How times are written."""

from typing import Annotated

from msgspec import Meta

Moment = Annotated[int, Meta(description="Seconds since 1970-01-01 UTC.")]
Lifetime = Annotated[int, Meta(ge=3_600, le=2_592_000, description="Seconds, from an hour to 30 days.")]
