"""The floor: the least that the work can cost in Python. Parse, a pool of raw connections, an append log. No features.

`floor.py INPUT OUTPUT URL CONCURRENCY`. It has no retries, deadlines, recovery, counts, cancel, or error file.
"""

import asyncio
import os
import sys
import threading
from urllib.parse import urlsplit

import httptools
import msgspec
import uvloop


class Message(msgspec.Struct):
    role: str
    content: msgspec.Raw


class Body(msgspec.Struct):
    model: str
    messages: list[Message]


class Line(msgspec.Struct):
    custom_id: str
    method: str
    url: str
    body: Body


class Sent(msgspec.Struct):
    custom_id: str
    body: msgspec.Raw


class Connection(asyncio.Protocol):
    def __init__(self):
        self.parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.parser.feed_data(data)

    def on_message_begin(self):
        self.body = b""

    def on_body(self, body):
        self.body += body

    def on_message_complete(self):
        self.future.set_result(self.body)

    def send(self, data, loop):
        self.future = loop.create_future()
        self.transport.write(data)
        return self.future


class Log:
    """Appends what has gathered in the last 20 ms and syncs it, on a thread."""

    def __init__(self, path):
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        self.lines = []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stop.wait(0.02):
            self.commit()
        self.commit()

    def commit(self):
        # Taken in place: swapping the list could lose a line that is being appended to the old one.
        count = len(self.lines)
        if count:
            os.write(self.file, b"".join(self.lines[:count]))
            del self.lines[:count]
            os.fdatasync(self.file)

    def close(self):
        self.stop.set()
        self.thread.join()


async def main(source, target, url, concurrency):
    loop = asyncio.get_running_loop()
    parts = urlsplit(url)
    decode, offsets, ids = msgspec.json.Decoder(Line).decode, [], set()
    position = 0
    with open(source, "rb") as file:
        for text in file:
            line = decode(text)
            str(text, "utf-8")
            ids.add(line.custom_id)
            offsets.append(position)
            position += len(text)
    assert len(ids) == len(offsets)
    read, encode = msgspec.json.Decoder(Sent).decode, msgspec.json.encode
    head = f"POST {parts.path}/chat/completions HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
    head = head.encode() + b"Content-Length: %d\r\n\r\n%b"
    log = Log(target)
    with open(source, "rb") as file:

        async def worker():
            _, connection = await loop.create_connection(Connection, parts.hostname, parts.port)
            for text in file:
                line = read(text)
                body = bytes(line.body)
                answer = await connection.send(head % (len(body), body), loop)
                log.lines.append(
                    b'{"custom_id":%b,"response":{"status_code":200,"body":%b},"error":null}\n'
                    % (encode(line.custom_id), answer)
                )

        await asyncio.gather(*(worker() for _ in range(concurrency)))
    log.close()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
