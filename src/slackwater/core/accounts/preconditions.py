"""What a caller wants to be so before something is changed (RFC 9110, 13.1), so that nobody overwrites what they have not seen.

An etag names a version of an object. None stands for no object.
"""

from msgspec import Struct

from slackwater.core.errors import PreconditionFailed

ANY = "*"


class Precondition(Struct, frozen=True, kw_only=True):
    """Without either, everything fits."""

    match: frozenset[str] | None = None
    """Etags of which the object must have one; `*`: it must be there."""
    none_match: frozenset[str] | None = None
    """Etags of which the object must have none; `*`: it must not be there."""

    def check(self, etag: str | None, what: str) -> None:
        """Raises PreconditionFailed where `what`, which has this etag now, is not as the caller wants it."""
        if self.match is not None and (etag is None or not self.match & {ANY, etag}):
            if etag is None:
                raise PreconditionFailed(f"If-Match wants the {what} to be there, and it is not. Leave If-Match out.")
            raise PreconditionFailed(
                f'The {what} is not in the version that If-Match names: its etag is "{etag}" now. Get it again, look at what '
                "it is, and send your change with that etag."
            )
        if self.none_match is not None and etag is not None and self.none_match & {ANY, etag}:
            raise PreconditionFailed(
                f"If-None-Match wants that there is no such {what}, and there is one. Use another name, or leave "
                "If-None-Match out to change it."
            )


NO_PRECONDITION = Precondition()
