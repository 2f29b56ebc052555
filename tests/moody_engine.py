"""An engine on loopback whose mood a test changes while calls are out: it answers, refuses, hangs up, is silent, is gone."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

WELL, SILENT, HANGS_UP = "well", "silent", "hangs up"
# What it says with a status, in the words of such servers.
SAID = {
    401: {"message": "Incorrect API key provided", "code": "invalid_api_key"},
    402: {"message": "You have run out of credits", "code": "billing_hard_limit_reached"},
    404: {"message": "The model does not exist", "code": "model_not_found"},
    429: {"message": "Rate limit reached", "code": "rate_limit_exceeded"},
    500: {"message": "CUDA error: out of memory", "code": "internal_error"},
}
WAIT_SECONDS = 600


class MoodyEngine:
    """`with MoodyEngine() as engine:` listens on `engine.url`, always at the same port, until the end of the block."""

    def __init__(self, mood: str | int = WELL) -> None:
        """`mood`: one of the words above, or a status that everything is answered with."""
        self._mood = mood
        self._changed = threading.Condition()
        self._port = 0
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def mood(self) -> str | int:
        """How it answers; calls that it has been silent about are answered in the next one."""
        return self._mood

    @mood.setter
    def mood(self, mood: str | int) -> None:
        with self._changed:
            self._mood = mood
            self._changed.notify_all()

    def __enter__(self) -> Self:
        self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        self.mood = 500
        self.go()

    def listen(self) -> None:
        """It begins to listen, or does so again."""
        engine = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                engine._answer(self, asked)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Listener(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: Any, client_address: Any) -> None:
                # Callers break off: that is what these tests make them do.
                pass

        self._server = Listener(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def go(self) -> None:
        """Nobody listens any more. Connections that are open are answered as before."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _answer(self, caller: BaseHTTPRequestHandler, asked: Any) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._mood != SILENT)
            mood = self._mood
        caller.close_connection = mood != WELL
        if mood == HANGS_UP:
            return
        if mood == WELL:
            message = {"role": "assistant", "content": "Because of the moon."}
            answer = {
                "id": "x",
                "object": "chat.completion",
                "model": asked["model"],
                "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                "usage": {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10},
            }
        else:
            answer = {"error": SAID.get(int(mood), {"message": "No", "code": "no"})}
        body = json.dumps(answer).encode()
        caller.send_response(200 if mood == WELL else int(mood))
        caller.send_header("Content-Type", "application/json")
        caller.send_header("Content-Length", str(len(body)))
        if mood == 429:
            caller.send_header("Retry-After", str(WAIT_SECONDS))
        if mood != WELL:
            caller.send_header("Connection", "close")
        caller.end_headers()
        caller.wfile.write(body)
