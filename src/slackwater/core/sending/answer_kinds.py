"""What the body of an upstream answer may be: an answer, an error that came with status 2xx, or nothing of use; and for which
endpoints which of them is looked for. Read by answers.py.
"""

from msgspec import Struct

from slackwater.core.accounts.usage import Usage
from slackwater.core.endpoints import CHAT as CHAT
from slackwater.core.endpoints import COMPLETIONS as COMPLETIONS
from slackwater.core.endpoints import EMBEDDINGS as EMBEDDINGS
from slackwater.core.endpoints import IMAGE_EDITS as IMAGE_EDITS
from slackwater.core.endpoints import IMAGES as IMAGES
from slackwater.core.endpoints import MESSAGES as MESSAGES
from slackwater.core.endpoints import MODERATIONS as MODERATIONS
from slackwater.core.endpoints import RERANK as RERANK
from slackwater.core.endpoints import RESPONSES as RESPONSES
from slackwater.core.endpoints import SCORE as SCORE
from slackwater.core.endpoints import SPEECH as SPEECH
from slackwater.core.endpoints import VIDEOS as VIDEOS

WITH_CHOICES = frozenset({CHAT, COMPLETIONS})
# Of an object of the Responses API, where one that is `incomplete` is an answer, and of a video.
UNSUCCESSFUL = frozenset({"failed", "cancelled", "expired"})
SUCCESSFUL = frozenset({"completed", "incomplete", "in_progress", "queued"})


class Answer(Struct, frozen=True, gc=False):
    """One JSON object on one line. `mended`: it was not quite JSON when it came."""

    usage: Usage | None
    model: str | None
    body: bytes
    mended: bool = False


class ErrorInside(Struct, frozen=True, gc=False):
    """A body of status 2xx that says that something went wrong. `status` is the one that it counts as, `body` one line."""

    status: int
    body: bytes
    retry_after: float | None = None
    mended: bool = False


class Unreadable(Struct, frozen=True, gc=False):
    """No JSON object, and none that could be made of it, or one without an answer. `why` is what it is, in a few words."""

    why: str
