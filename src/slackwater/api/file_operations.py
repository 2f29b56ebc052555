"""The operations on files and on uploads, which make a file of parts."""

from slackwater.api import download, files, imports, objects, uploads
from slackwater.api.operation import AFTER, Operation, Parameter, limit, text

OCTETS = "application/octet-stream"
RANGE = Parameter(
    name="Range",
    description="Only these bytes, such as `bytes=0-1023`.",
    schema={"type": "string"},
    place="header",
)
CONDITIONS = (
    RANGE,
    text(
        "If-Range",
        "The etag of the bytes that a range is wanted of; the whole file, where it has another one.",
        place="header",
    ),
    text("If-None-Match", "Etags of what the caller has: 304 where that is the content.", place="header"),
    text("If-Match", "Only if the content has this etag.", place="header"),
    text("Accept-Encoding", "With `gzip` in it, the whole file may come in that.", place="header"),
)
EXPIRES_AFTER = {
    "expires_after[anchor]": {"enum": ["created_at"]},
    "expires_after[seconds]": {"type": "integer", "minimum": 3_600, "maximum": 2_592_000},
}
FILE_FORM = {
    "type": "object",
    "properties": {
        "purpose": {"type": "string", "description": "`batch` for the input of a batch."},
        "file": {"type": "string", "format": "binary"},
        **EXPIRES_AFTER,
    },
    "required": ["purpose", "file"],
}
PART_FORM = {
    "type": "object",
    "properties": {"data": {"type": "string", "format": "binary", "description": "Up to 64 MiB."}},
    "required": ["data"],
}

FILE_OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="POST",
        path="/files",
        handler=files.upload,
        name="upload_file",
        tag="Files",
        summary="Upload a file",
        form=FILE_FORM,
        answer=objects.FileObject,
        status=None,
        answer_headers=("Location",),
        errors=(400,),
    ),
    Operation(
        method="GET",
        path="/files",
        handler=files.list_files,
        name="list_files",
        tag="Files",
        summary="List files, newest first",
        parameters=(
            text("purpose", "Only files with this purpose."),
            limit(10_000, 10_000),
            text("order", "By creation.", enum=["asc", "desc"], default="desc"),
            AFTER,
        ),
        answer=objects.FileList,
        errors=(400,),
    ),
    Operation(
        method="POST",
        path="/files/import",
        handler=imports.create,
        name="import_file",
        tag="Files",
        summary="Fetch a file from a URL that the operator allows",
        body=objects.NewImport,
        answer=objects.FileObject,
        status=201,
        answer_headers=("Location",),
        errors=(400, 403, 413),
    ),
    Operation(
        method="GET",
        path="/files/{file_id}",
        handler=files.get_file,
        name="get_file",
        tag="Files",
        summary="Get a file",
        answer=objects.FileObject,
        errors=(404,),
    ),
    Operation(
        method="DELETE",
        path="/files/{file_id}",
        handler=files.delete_file,
        name="delete_file",
        tag="Files",
        summary="Delete a file; a batch that runs on it goes on",
        answer=objects.FileDeleted,
        errors=(404,),
    ),
    Operation(
        method="GET",
        path="/files/{file_id}/content",
        handler=download.content,
        name="get_file_content",
        tag="Files",
        summary="Download a file",
        parameters=(
            text(
                "filename",
                "The name under which it is saved, in `Content-Disposition`; by default the file's own. An extension.",
                maxLength=download.FILENAME_LENGTH_MAX,
            ),
            *CONDITIONS,
        ),
        answer=OCTETS,
        answer_headers=("Content-Disposition", "ETag"),
        errors=(400, 404, 412),
    ),
    Operation(
        method="POST",
        path="/uploads",
        handler=uploads.create,
        name="create_upload",
        tag="Uploads",
        summary="Begin a file that comes in parts",
        body=objects.NewUpload,
        answer=objects.UploadObject,
        errors=(400, 413),
    ),
    Operation(
        method="POST",
        path="/uploads/{upload_id}/parts",
        handler=uploads.add_part,
        name="add_upload_part",
        tag="Uploads",
        summary="Send a part; parts may come at once and in any order",
        form=PART_FORM,
        answer=objects.UploadPartObject,
        errors=(400, 404),
    ),
    Operation(
        method="POST",
        path="/uploads/{upload_id}/complete",
        handler=uploads.complete,
        name="complete_upload",
        tag="Uploads",
        summary="Make the file of its parts",
        body=objects.CompleteUpload,
        answer=objects.UploadObject,
        errors=(400, 404, 413),
    ),
    Operation(
        method="POST",
        path="/uploads/{upload_id}/cancel",
        handler=uploads.cancel,
        name="cancel_upload",
        tag="Uploads",
        summary="Give an upload up",
        answer=objects.UploadObject,
        errors=(400, 404),
    ),
)
