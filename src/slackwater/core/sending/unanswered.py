"""What an error line says of an upstream reply that is no answer: with what came, and without what may be secret.

Before: answers.py and the judgement of the call. After: the journal.
"""

import codecs
import urllib.parse

import msgspec

from slackwater.core.errors import BackendReplyBroken
from slackwater.core.sending.lines import error_body
from slackwater.core.sending.request import Reply

# How much of what cannot be read is shown in an error line, and of a header.
SHOWN_BYTES = 2048
SHOWN_CHARACTERS = 500


def unreadable_error(why: str, reply: Reply) -> tuple[str, str]:
    """Code and message of the error line of a request whose answers could not be read: with what came."""
    kind = f" ({_harmless(reply.content_type)})" if reply.content_type else ""
    message = f"The backend answered {reply.status}{kind} with {why}, which is no answer."
    if begin := _begin(reply.body):
        message += f" It {'begins' if len(reply.body) > SHOWN_BYTES else 'is'}: {begin}"
    return BackendReplyBroken.code, message


def redirect_message(reply: Reply) -> str:
    """What is said of an answer 3xx: where it sends us to, without what may be secret, and that nobody goes there."""
    where = "does not say where to"
    if reply.location:
        where = f"points to {_without_secrets(reply.location)}"
    return f"The backend answered {reply.status}, a redirect, and {where}. Redirects are not followed: correct its URL."


def refusal_body(reply: Reply) -> bytes:
    """The body of an answer that is not 2xx for the error file: one line of JSON, whatever came."""
    if 300 <= reply.status < 400:
        error = {"message": redirect_message(reply), "type": "upstream_error", "param": None, "code": str(reply.status)}
        return msgspec.json.encode({"error": error})
    return error_body(reply.body, reply.status)


def _harmless(text: str) -> str:
    """Text of a stranger for a terminal, a log and a page: one line, nothing that steers them."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _begin(body: bytes) -> str:
    # Not final: a character that is cut in two at the end is left out.
    final = len(body) <= SHOWN_BYTES
    return _harmless(codecs.getincrementaldecoder("utf-8")("replace").decode(body[:SHOWN_BYTES], final)).strip()


def _without_secrets(location: str) -> str:
    """Where a redirect points to, without user, query and fragment, which may hold keys."""
    location = location.strip()
    head = location.partition("#")[0].partition("?")[0]
    try:
        parts = urllib.parse.urlsplit(head)
    except ValueError:
        return "an address that cannot be read"
    shown = urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return _harmless(shown)[:SHOWN_CHARACTERS] + ("?..." if "?" in location else "")
