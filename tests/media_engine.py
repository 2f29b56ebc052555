"""An engine on loopback that speaks, edits pictures and makes videos, well or badly, as each request says."""

import base64
import json
import threading
from collections import Counter
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

MP3 = b"\xff\xfb\x90\x64"
LARGE_BYTES, CHUNKED_BYTES = 40_000_000, 9_000_000


def sound(size: int) -> bytes:
    """Bytes that begin like an mp3, with every byte in them."""
    return (MP3 + bytes(range(256)) * (size // 256 + 1))[:size]


class MediaEngine:
    """`with MediaEngine() as engine:` listens on `engine.url`. What is asked for is in `input` or `prompt`."""

    def __init__(self) -> None:
        self.made: Counter[str] = Counter()
        """How many videos there were of each prompt."""
        self.released = threading.Event()
        """Until then a video of the prompt `slow` goes on."""
        self._videos: dict[str, tuple[str, int]] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        engine = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                asked = _read(self)
                if self.path.endswith("/audio/speech"):
                    engine._speak(self, asked["input"])
                elif self.path.endswith("/images/edits"):
                    data = [{"b64_json": base64.b64encode(each).decode()} for each in asked["image"]]
                    _json(self, {"created": 1, "data": data, "usage": {"input_tokens": 7, "output_tokens": 9}})
                elif self.path == "/elsewhere/rank":
                    _json(self, [{"score": 0.5, "index": 0, "document": asked["documents"][0]}])
                elif self.path.endswith("/videos"):
                    _json(self, engine._make(asked["prompt"]))
                else:
                    _json(self, {"detail": "Not Found"}, status=404)

            def do_GET(self) -> None:
                found = engine._look(self.path.rpartition("/")[2])
                _json(self, found or {"detail": "Not Found"}, status=200 if found else 404)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Listener(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: Any, client_address: Any) -> None:
                # Callers break off: that is what these tests make them do.
                pass

        self._server = Listener(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def _speak(self, to: BaseHTTPRequestHandler, text: str) -> None:
        if text == "chunked":
            to.send_response(200)
            to.send_header("Content-Type", "audio/mpeg")
            to.send_header("Transfer-Encoding", "chunked")
            to.end_headers()
            data = sound(CHUNKED_BYTES)
            for start in range(0, len(data), 1 << 20):
                piece = data[start : start + (1 << 20)]
                to.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            to.wfile.write(b"0\r\n\r\n")
        elif text == "cut":
            to.send_response(200)
            to.send_header("Content-Type", "audio/mpeg")
            to.send_header("Content-Length", "1000000")
            to.end_headers()
            to.wfile.write(sound(1000))
            to.close_connection = True
        elif text == "refused":
            _json(to, {"error": {"message": "There is no such voice", "code": "invalid_value"}}, status=400)
        elif text == "error inside":
            error = {"message": "There is no such voice", "type": "invalid_request_error"}
            _answer(to, json.dumps({"error": error}).encode(), "audio/mpeg")
        else:
            _answer(to, *SPOKEN.get(text, (sound(1000), "audio/mpeg")))

    def _make(self, prompt: str) -> dict[str, Any]:
        with self._lock:
            self.made[prompt] += 1
            name = f"video_{len(self._videos)}"
            self._videos[name] = (prompt, 0)
        return {"id": name, "object": "video", "status": "queued", "model": "m"}

    def _look(self, name: str) -> dict[str, Any] | None:
        with self._lock:
            if name not in self._videos:
                return None
            prompt, looks = self._videos[name]
            self._videos[name] = (prompt, looks + 1)
            if prompt == "gone" and looks == 1 and self.made["gone"] == 1:
                del self._videos[name]
                return None
        video: dict[str, Any] = {"id": name, "object": "video", "status": "in_progress", "model": "m"}
        if prompt == "refused" and looks:
            return video | {"status": "failed", "error": {"code": "moderation_blocked", "message": "no"}}
        if prompt == "never" or looks < 1 or (prompt == "slow" and not self.released.is_set()):
            return video
        return video | {"status": "completed", "progress": 100, "seconds": "4"}


SPOKEN: dict[str, tuple[bytes, str]] = {
    "large": (sound(LARGE_BYTES), "audio/mpeg"),
    "called a text": (sound(1000), "text/plain"),
    "a page": (b"<!DOCTYPE html><title>Sign in</title>", "audio/mpeg"),
    "JSON": (b'{"status":"ok"}', "application/json"),
    "nothing": (b"", "audio/mpeg"),
}


def _read(of: BaseHTTPRequestHandler) -> dict[str, Any]:
    """JSON, or a form whose pictures are in `image`."""
    body = of.rfile.read(int(of.headers["Content-Length"]))
    kind = of.headers["Content-Type"]
    if not kind.startswith("multipart/form-data"):
        read: dict[str, Any] = json.loads(body)
        return read
    whole = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
    found: dict[str, Any] = {"image": []}
    for part in whole.iter_parts():
        name, data = str(part.get_param("name", header="content-disposition")), part.get_payload(decode=True)
        assert isinstance(data, bytes)
        if part.get_filename():
            found["image"].append(data)
        else:
            found[name] = data.decode()
    return found


def _json(to: BaseHTTPRequestHandler, value: Any, *, status: int = 200) -> None:
    _answer(to, json.dumps(value).encode(), "application/json", status=status)


def _answer(to: BaseHTTPRequestHandler, body: bytes, kind: str, *, status: int = 200) -> None:
    to.send_response(status)
    to.send_header("Content-Type", kind)
    to.send_header("Content-Length", str(len(body)))
    to.end_headers()
    to.wfile.write(body)
