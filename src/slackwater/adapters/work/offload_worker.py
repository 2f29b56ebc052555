"""What runs in the worker process of a ProcessOffload: pickled calls come on standard input, answers go to standard output.

Started by its path, so it imports nothing of Slackwater before a call needs it. It ends when its input does, even in the
middle of a call: so it dies with a parent that was killed. A message is its length in eight bytes, then its bytes. A call
is a number in eight bytes, a pickle, and as many messages of bytes that the pickle refers to, which are large and not copied;
so is an answer. The numbers that it is started with are those of a pipe for signs of life, and of how nice it is to be.
"""

import contextlib
import os
import pickle
import queue
import sys
import threading
import time
import traceback
from typing import BinaryIO

# Between two signs of life.
SIGN_SECONDS = 1.0
# A pickle, and the bytes that it refers to.
Call = tuple[bytes, list[bytes]]


def read_message(source: BinaryIO) -> bytes | None:
    """The next message, or None where the stream ended before or inside it."""
    header = source.read(8)
    length = int.from_bytes(header, "little")
    message = source.read(length) if len(header) == 8 else b""
    return message if len(header) == 8 and len(message) == length else None


def write_message(target: BinaryIO, message: "bytes | memoryview") -> None:
    """Sends one message."""
    target.write(len(message).to_bytes(8, "little"))
    target.write(message)
    target.flush()


def read_call(source: BinaryIO) -> "Call | None":
    """The next call or answer, or None where the stream ended before or inside it."""
    header = source.read(8)
    if len(header) < 8:
        return None
    messages: list[bytes] = []
    for _ in range(1 + int.from_bytes(header, "little")):
        if (message := read_message(source)) is None:
            return None
        messages.append(message)
    return messages[0], messages[1:]


def write_call(target: BinaryIO, call: bytes, buffers: "list[pickle.PickleBuffer]") -> None:
    """Sends one call, or an answer."""
    target.write(len(buffers).to_bytes(8, "little"))
    write_message(target, call)
    for buffer in buffers:
        with buffer.raw() as view:
            write_message(target, view)


def _give_signs(signs: int) -> None:
    """Says every second that Python runs here. On a thread of its own, so that this goes on during a call."""
    os.set_blocking(signs, False)
    while True:
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(signs, b".")
        time.sleep(SIGN_SECONDS)


def _take_calls(source: BinaryIO, calls: "queue.SimpleQueue[Call]") -> None:
    """Runs on a thread of its own, so that the end of the input is seen while a call is running."""
    while (call := read_call(source)) is not None:
        calls.put(call)
        del call
    os._exit(0)


def _outcome(call: "Call") -> "tuple[bytes, list[pickle.PickleBuffer]]":
    """(True, what was returned) or (False, what was raised), in the shape of a call."""
    buffers: list[pickle.PickleBuffer] = []
    try:
        function, arguments = pickle.loads(call[0], buffers=call[1])  # noqa: S301 - from the parent, over a pipe of ours
        returned = (True, function(*arguments))
        return pickle.dumps(returned, pickle.HIGHEST_PROTOCOL, buffer_callback=buffers.append), buffers
    except BaseException as error:
        # The parent shows its own stack; this is the one that says where it went wrong.
        trace = f"In the worker process:\n{traceback.format_exc()}"
        error.add_note(trace)
        # An exit is not the parent's exit; and some exceptions can be written but not read.
        if isinstance(error, Exception):
            with contextlib.suppress(Exception):
                answer = pickle.dumps((False, error), pickle.HIGHEST_PROTOCOL)
                pickle.loads(answer)  # noqa: S301
                return answer, []
        return pickle.dumps((False, RuntimeError(trace))), []


def main() -> None:
    """Answers calls until the input ends. The first message is the module search path of the parent."""
    signs, niceness = int(sys.argv[1]), int(sys.argv[2])
    with contextlib.suppress(OSError):
        os.nice(niceness)
    source = os.fdopen(os.dup(0), "rb")
    target = os.fdopen(os.dup(1), "wb")
    # A call that reads or prints must not do so on the pipes.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    sys.path[:] = pickle.loads(read_message(source) or b"")  # noqa: S301
    calls: queue.SimpleQueue[Call] = queue.SimpleQueue()
    threading.Thread(target=_take_calls, args=(source, calls), daemon=True).start()
    threading.Thread(target=_give_signs, args=(signs,), daemon=True).start()
    while True:
        try:
            write_call(target, *_outcome(calls.get()))
        except BrokenPipeError:
            # The parent has gone between its question and this answer. There is nobody to complain to.
            os._exit(0)


if __name__ == "__main__":
    main()
