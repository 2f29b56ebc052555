"""What a store says when it does not do what it was asked for, as an error of ours, with the way out.

Nothing of its text is repeated: an address may carry a signature.
"""

import errno
import os
import re

from obstore.exceptions import AlreadyExistsError, PermissionDeniedError, UnauthenticatedError

from slackwater.adapters.object_store.place import NOWHERE
from slackwater.core.errors import FilesUnavailable, StorageFull

_CODE = re.compile(r"<Code>(\w+)</Code>")
_STATUS = re.compile(r"status code: (\d{3})")
_REGION = re.compile(r"expecting '([a-z0-9-]+)'")
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist", "ContainerBeingDeleted")
_FULL = ("XMinioStorageFull", "QuotaExceeded", "AccountQuotaExceeded", "InsufficientStorage", "EntityTooLarge")
_WRONG_KEY = (
    "SignatureDoesNotMatch",
    "InvalidAccessKeyId",
    "AuthenticationFailed",
    "AuthorizationFailure",
    "InvalidAuthenticationInfo",
    "InvalidSecurity",
)
_METADATA = ("169.254.169.254", "metadata.google.internal", "MissingCredential", "169.254.170.2")

NO_BUCKET = "there is no such bucket or container: make it, or correct [server] files"
WRONG_KEY = "it does not take the key: correct the one in [server] files_key_env, or in the environment"
NO_RIGHT = "the credential may not do that: give it the rights that docs/object-stores.md lists"
SKEWED = "the clock of this machine is wrong: set it (timedatectl set-ntp true)"
OTHER_REGION = "the bucket is in another region: set [server] files_region{region}"
EXPIRED = "the credential has expired: renew it"
NO_CREDENTIAL = (
    "nobody says who we are: name the variable with the key in [server] files_key_env, or give the machine an identity"
)
SILENT = "it does not answer: look at the network, and at [server] files_endpoint"
BUSY = "it is too busy, or failed: it is asked again"
REFUSED = "it refuses the request"
ELSEWHERE = "it redirects to another host, which is not asked: correct [server] files_endpoint"
FOLDER_DENIED = "this process may not read or write there: give its user the rights"
FOLDER_READ_ONLY = "the file system is read-only: mount it for writing"
NO_FOLDER = "a file is where a folder has to be, or the other way round: name another place, or move it away"
FOLDER_LOOP = "links lead in a circle: correct them"
LONG_NAME = "a name is too long for its file system: choose a shorter one"

_OF_FOLDER = re.compile(r"Generic LocalFileSystem error: .*\(os error (\d+)\)$")
# What a folder does not do until somebody changes it; what else may go wrong there passes, as with a mount that comes back.
_FOLDER_REFUSES = {
    errno.EACCES: FOLDER_DENIED,
    errno.EPERM: FOLDER_DENIED,
    errno.EROFS: FOLDER_READ_ONLY,
    errno.ENOTDIR: NO_FOLDER,
    errno.EISDIR: NO_FOLDER,
    errno.ELOOP: FOLDER_LOOP,
    errno.ENAMETOOLONG: LONG_NAME,
}


def translated(error: Exception, where: str, key: str) -> Exception:
    """FileNotFoundError, FileExistsError, StorageFull or FilesUnavailable for what a request to the store `where` raised."""
    text = str(error)
    number = _OF_FOLDER.match(text.partition("\n")[0])
    if number is not None:
        return fault_of_folder(int(number[1]), where)
    code, status = _CODE.search(text), _STATUS.search(text)
    said = code.group(1) if code else ""
    if any(each in text for each in _NO_BUCKET):
        return FilesUnavailable(_line(where, NO_BUCKET, said))
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(f"{key} is not in {where}")
    if isinstance(error, AlreadyExistsError):
        return FileExistsError(f"{key} is in {where} already")
    if said in _FULL or (status and status.group(1) == "507"):
        return StorageFull(f"no room in {where}: raise its quota, or delete what nobody needs ({said or 507})")
    remedy = _remedy(error, text, said, status.group(1) if status else "")
    return FilesUnavailable(_line(where, remedy, said), passes=remedy in (SILENT, BUSY))


def fault_of_folder(number: int, where: str) -> FilesUnavailable | StorageFull:
    """The error of ours for what an operating system says of a folder, by its errno."""
    if number in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(f"no room in {where}: delete what nobody needs, or raise the quota ({os.strerror(number)})")
    remedy = _FOLDER_REFUSES.get(number)
    if remedy is None:
        return FilesUnavailable(f"{where}: it could not be read or written: {os.strerror(number)}", passes=True)
    return FilesUnavailable(f"{where}: {remedy} ({os.strerror(number)})")


def _line(where: str, remedy: str, said: str) -> str:
    return f"{where}: {remedy}" + (f" ({said})" if said else "")


def _remedy(error: Exception, text: str, said: str, status: str) -> str:
    if NOWHERE in text:
        return ELSEWHERE
    if said == "RequestTimeTooSkewed" or "Request date header" in text:
        return SKEWED
    region = _REGION.search(text)
    if region or status == "301" or said in ("PermanentRedirect", "IllegalLocationConstraintException"):
        return OTHER_REGION.format(region=f' = "{region.group(1)}"' if region else "")
    if said in ("ExpiredToken", "TokenRefreshRequired") or "Signed expiry time" in text:
        return EXPIRED
    if any(each in text for each in _METADATA):
        return NO_CREDENTIAL
    if said in _WRONG_KEY or isinstance(error, UnauthenticatedError):
        return WRONG_KEY
    if isinstance(error, PermissionDeniedError):
        return NO_RIGHT
    if not status:
        return SILENT
    return BUSY if status in ("429", "500", "502", "503", "504") else f"{REFUSED} (status {status})"
