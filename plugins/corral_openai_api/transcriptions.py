"""POST /v1/audio/transcriptions: the form is read and checked; no engine here hears, so it ends in a refusal."""

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from corral import BadRequest, Unsupported
from corral.server import KERNEL
from corral_http.names import installed
from corral_http.unpacking import coding_of

MOST_BYTES = 25 << 20


async def transcriptions(request: web.Request) -> web.Response:
    """Raises BadRequest for what is no form, ModelNotFound, and Unsupported for every model there is."""
    form = await _form(request)
    name = form.get("model", b"").decode(errors="replace").strip()
    if not name:
        raise BadRequest("model is required")
    if "file" not in form:
        raise BadRequest("file is required: the form has no field of that name")
    if not form["file"]:
        raise BadRequest("audio file is empty")
    model = installed(request.app[KERNEL], name)
    raise Unsupported(f"{model.ref.full_name} does not support audio")


async def _form(request: web.Request) -> dict[str, bytes]:
    """The fields by name, at most MOST_BYTES in all.  Raises BadRequest."""
    if request.content_type != "multipart/form-data":
        raise BadRequest("failed to parse multipart form: the request's Content-Type is not multipart/form-data")
    if coding_of(request.headers.get("Content-Encoding", "")):
        raise BadRequest("failed to parse multipart form: a form is read as it is, not packed (Content-Encoding)")
    fields: dict[str, bytes] = {}
    room = MOST_BYTES
    try:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader) or not part.name:
                continue
            data = bytearray()
            while chunk := await part.read_chunk():
                room -= len(chunk)
                if room < 0:
                    raise BadRequest(f"failed to parse multipart form: more than {MOST_BYTES} bytes")
                data += chunk
            fields[part.name] = bytes(data)
    except (ValueError, AssertionError, web.RequestPayloadError, HttpProcessingError) as err:
        raise BadRequest(f"failed to parse multipart form: {err}") from err
    return fields
