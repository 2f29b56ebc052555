"""Everything that can go wrong, as one tree. Comes before every other module and imports none of them but
the one that masks.

    SlackwaterError
    ├── UserError                 the caller can put it right; the message says how
    │   ├── InvalidRequest        a parameter is missing, of the wrong type, or out of range
    │   │   └── InputFileMissing  the file that a batch is to be made of is not there
    │   ├── PayloadTooLarge       a JSON body is over its limit
    │   ├── FileTooLarge          an uploaded file is over its limit
    │   ├── EncodingRefused       a body is compressed, or otherwise not what it says it is
    │   ├── FileRefused           an uploaded file has the wrong name, purpose or first line
    │   ├── QuotaExceeded         there are as many files as there may be
    │   ├── NotFound              no such file, batch or path
    │   ├── Conflict              the object's state forbids it (cancel of a completed batch)
    │   ├── PreconditionFailed    the object is not in the version that the caller asked for
    │   ├── TooBusy               so much is being done for the caller already; trying again helps
    │   ├── Unauthorized          no key, or not one of ours
    │   │   └── TokenRefused      a token that is expired, not for us, or not signed by whom we trust
    │   ├── Forbidden             the operator has not turned it on
    │   │   ├── ImportRefused     a URL that this service does not fetch from
    │   │   └── PermissionDenied  a known caller who may not do this
    │   └── TokenLimitExceeded    the deployment has no room for this batch's enqueued tokens
    ├── BackendError              one call to one backend brought no HTTP answer
    │   ├── BackendUnreachable    no connection
    │   ├── BackendTimeout        connect, first byte or total time is over
    │   └── BackendReplyBroken    half a body, not HTTP, or over the size limit
    │       └── StreamBroken      a stream that makes no whole answer; without one, the same request may have one
    ├── ClassifierFailed          a content filter's classifier did not judge a text
    ├── FetchFailed               a file could not be fetched from its URL
    ├── SendFailed                a webhook was not answered
    ├── UserStorageTrouble        a storage of a user's did not do what it was asked for
    │   ├── UserStorageAway       it does not answer, or has no room: it is waited for
    │   ├── UserStorageRefused    we may not use it, or there is no such bucket
    │   └── UserBlobModified      a blob is not what it was when its batch was created
    ├── CallFailed                a server did not do what the command line asked it for
    │   └── ServerUnreachable     it did not answer, or the connection was lost
    ├── IssuerUnavailable         a token cannot be checked now, because its issuer's keys cannot be had
    ├── FileUnreadable            bytes that were written are gone, cut off or others now
    ├── StorageTrouble            nothing can be written now: pause, then try again; nothing is lost
    │   ├── StorageFull           the disk has no room
    │   ├── FilesUnavailable      the object store with the files cannot be reached, or refuses us
    │   └── LedgerUnavailable     the ledger's database cannot be reached
    │       └── Buried            others took this server for dead, and nothing that it writes counts
    ├── DataDirectoryError        the data directory is not ours to use (locked, or from a newer version)
    │   ├── DataDirectoryInUse    others have it, who have to be stopped first
    │   ├── LedgerRefused         the same of a database: in use, too old, or from a newer version
    │   └── LedgerMoved           the ledger is somewhere else now
    ├── BackupError               a back-up cannot be made, is damaged, or cannot be restored
    ├── MoveError                 a ledger could not be moved to another database; it is where it was
    └── ConfigError               the configuration is wrong; carries every fault, one line each

The class carries the public `code`; the message states facts the user can act on. `api/wire.py` alone maps these to HTTP.
"""

from slackwater.core.masking import masked


class SlackwaterError(Exception):
    """Base of every error that Slackwater raises on purpose."""

    code: str = "internal_failure"


class UserError(SlackwaterError):
    """Something the caller can put right. `param` names the offending parameter, where there is one."""

    code = "invalid_request"

    def __init__(self, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        if code is not None:
            self.code = code


class InvalidRequest(UserError):
    """A parameter is missing, of the wrong type, or out of range."""

    code = "invalid_value"


class InputFileMissing(InvalidRequest):
    """The file that a batch is to be made of does not exist, or is not the caller's."""


class PayloadTooLarge(UserError):
    """A JSON body is larger than any request needs."""

    code = "payload_too_large"


class FileTooLarge(UserError):
    """An uploaded file is larger than its limit allows."""

    code = "file_too_large"


class EncodingRefused(UserError):
    """A body has a Content-Encoding. It would be kept as it came, and be no JSON when it is read."""

    code = "unsupported_media_type"


class FileRefused(UserError):
    """An uploaded file cannot be what its purpose says: its name, its purpose, or its first line."""

    code = "file_refused"


class QuotaExceeded(UserError):
    """There are as many files as there may be."""

    code = "quota_exceeded"


class NotFound(UserError):
    """There is no such file, batch or path (or it belongs to someone else: the answer is the same)."""

    code = "not_found"


class Conflict(UserError):
    """The object's state forbids the operation, and trying again will not help."""

    code = "conflict"


class PreconditionFailed(UserError):
    """The object is not as the caller wants it to be (If-Match, If-None-Match). Nothing was changed."""

    code = "PreconditionFailed"


class TooBusy(UserError):
    """So much of this kind is being done for the caller already. `retry_after` is in seconds."""

    code = "too_many_requests"

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unauthorized(UserError):
    """No credentials, or not ones of ours."""

    code = "unauthorized"

    def __init__(self, message: str, *, given: bool) -> None:
        """`given`: whether there were any credentials."""
        super().__init__(message)
        self.given = given


class TokenRefused(Unauthorized):
    """A token that does not let anybody in. The message says why, and never repeats the token."""

    def __init__(self, message: str) -> None:
        super().__init__(message, given=True)


class Forbidden(UserError):
    """What the operator has not turned on. The message names the setting."""

    code = "forbidden"


class ImportRefused(Forbidden):
    """A URL whose scheme, host or address is not one that this service fetches from."""


class PermissionDenied(Forbidden):
    """The caller is known, but lacks the role or the resource for this."""

    code = "PermissionDenied"


class TokenLimitExceeded(UserError):
    """The deployment has no room for this batch's enqueued tokens: it holds `held`, and may hold `limit`."""

    code = "token_limit_exceeded"

    def __init__(self, message: str, *, held: int, limit: int | None) -> None:
        super().__init__(message)
        self.held = held
        self.limit = limit


class NoRoom(SlackwaterError):
    """A deployment may not hold so many more tokens; `held` is what it holds. Seen by who asks first, told in other words."""

    def __init__(self, held: int) -> None:
        super().__init__(f"{held:,} tokens are held")
        self.held = held


class BackendError(SlackwaterError):
    """One call to one backend brought no HTTP answer. `sent` says whether the request may have reached it."""

    code = "backend_error"
    lost = False
    """Whether the connection broke, which is also what a dying engine does to those who wait for it."""
    final = False
    """Whether another call would bring the same, and is not worth its price."""

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class BackendUnreachable(BackendError):
    """No connection: refused, unknown host, TLS failure."""

    code = "backend_unreachable"


class BackendTimeout(BackendError):
    """The time to connect, to the first byte, or for the whole answer is over; or, for good, that in which a video is made."""

    code = "backend_timeout"

    def __init__(self, message: str, *, sent: bool = True, final: bool = False) -> None:
        super().__init__(message, sent=sent)
        self.final = final


class BackendReplyBroken(BackendError):
    """The connection ended inside the answer, the answer is not HTTP, or it is over the size limit."""

    code = "backend_reply_broken"

    def __init__(self, message: str, *, sent: bool = True, final: bool = False, lost: bool = False) -> None:
        super().__init__(message, sent=sent)
        self.final = final
        self.lost = lost


class StreamBroken(BackendReplyBroken):
    """An answer came as a stream, and no whole answer can be made of it. The same request may be answered without one."""


class ClassifierFailed(SlackwaterError):
    """A content filter's classifier did not judge a text. `busy`: it is not there, or takes no requests now."""

    code = "content_filter_error"

    def __init__(self, message: str, *, busy: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.busy = busy
        self.retry_after = retry_after


class FetchFailed(SlackwaterError):
    """A file could not be fetched from its URL. `again` says whether another try may bring it."""

    code = "fetch_failed"

    def __init__(self, message: str, *, again: bool) -> None:
        super().__init__(message)
        self.message = message
        self.again = again


class SendFailed(SlackwaterError):
    """A webhook brought no HTTP answer."""

    code = "send_failed"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class UserStorageTrouble(SlackwaterError):
    """A storage of a user's did not do what it was asked for. The message is for the operator; no URL and no key is in it."""

    code = "input_no_permissions"


class UserStorageAway(UserStorageTrouble):
    """It does not answer, or has no room. It is waited for."""


class UserStorageRefused(UserStorageTrouble):
    """We may not do that there, or there is no such bucket: somebody has to do something."""


class UserBlobModified(UserStorageTrouble):
    """A blob is not what it was when its batch was created."""

    code = "input_modified"


class CallFailed(SlackwaterError):
    """A server did not do what the command line asked it for. `status` is None where there was no HTTP answer."""

    code = "call_failed"

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class ServerUnreachable(CallFailed):
    """It did not answer, or the connection was lost. The call may have reached it."""

    code = "server_unreachable"


class IssuerUnavailable(SlackwaterError):
    """A token may be good, but its issuer's keys cannot be had at the moment. Trying again helps."""

    code = "service_unavailable"


class FileUnreadable(SlackwaterError):
    """The bytes of a file are gone, cut off, or not those that were written. Trying again does not help."""

    code = "file_unreadable"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class StorageTrouble(SlackwaterError):
    """Nothing can be written now. The work pauses and is tried again; nothing that was journaled is lost."""


class StorageFull(StorageTrouble):
    """The disk has no room."""

    code = "storage_full"


class FilesUnavailable(StorageTrouble):
    """The object store with the files does not answer, or does not let us in. What was asked for has not happened, or may be
    asked for again without harm. The message says what to do."""

    code = "files_unavailable"

    def __init__(self, message: str, *, passes: bool = False) -> None:
        """`passes`: it may be over in a moment, without anybody doing something."""
        super().__init__(message)
        self.passes = passes


class DataDirectoryError(SlackwaterError):
    """The data directory cannot be used: another process has it, or a newer version wrote it."""

    code = "data_directory"


class DataDirectoryInUse(DataDirectoryError):
    """Others have the data directory. Who they are, a ledger that they share may know."""


class LedgerUnavailable(StorageTrouble):
    """The ledger's database cannot be reached. Nothing of what was asked for has happened."""

    code = "ledger_unavailable"


class LedgerSlow(LedgerUnavailable):
    """The ledger takes longer than somebody may wait for what is usually read in a moment: the same request may be made again."""


class Buried(LedgerUnavailable):
    """Others who work with the ledger took this server for dead. It has to begin anew, under another name."""


class LedgerBehind(LedgerUnavailable):
    """The ledger's database has lost what it had confirmed. A server that goes on would contradict it."""


class LedgerRefused(DataDirectoryError):
    """The ledger's database cannot be used: another server has it, it is too old, or a newer version wrote it."""


class LedgerMoved(DataDirectoryError):
    """The ledger was here and is somewhere else now. The message says where, and what to do."""


class ClusterRefused(SlackwaterError):
    """Workers cannot be placed on a cluster that somebody else keeps. The message says why, and what to do."""

    code = "cluster"


class MoveError(SlackwaterError):
    """A ledger could not be moved to another database. It counts where it was; the message says what to do."""

    code = "move"


class BackupError(SlackwaterError):
    """A back-up cannot be made, is damaged, or cannot be restored. The message says what to do."""

    code = "backup"


class ConfigError(SlackwaterError):
    """The configuration is wrong. `faults` has one line per fault, each saying what to do."""

    code = "config"

    def __init__(self, faults: list[str]) -> None:
        self.faults = [masked(fault) for fault in faults]
        super().__init__("\n".join(self.faults))
