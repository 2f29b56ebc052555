"""The front door by its bytes: what is let in, what is refused and how, and what is kept of it meanwhile."""

import json
import re

import pytest

from slackwater.core.arriving.patience import Patience, Phase
from slackwater.telemetry import meters
from tests.api.front_doors import LIMITS, Place, at_a_door, until

HOST = b"Host: localhost\r\n"
GET = b"GET /a HTTP/1.1\r\n" + HOST + b"\r\n"
CLOSE = b"Connection: close\r\n"
CHUNKED = b"POST /a HTTP/1.1\r\n" + HOST + CLOSE + b"Transfer-Encoding: chunked\r\n\r\n"
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
# A piece of something endless.
PIECE = b"a" * 1000


def said(answer: bytes) -> dict[str, object]:
    """What the application was asked, of an answer to a connection that has ended."""
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    told: dict[str, object] = json.loads(answer[answer.index(b"\r\n\r\n") + 4 :])
    return told


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_request_in_pieces_of_any_size(size: int) -> None:
    """How a request comes is nothing that the application could see."""
    request = b"\r\nPOST /a%20b?c=d HTTP/1.1\r\nHost: h\r\nX-One:  1 \r\nContent-Length: 5\r\n" + CLOSE + b"\r\nhello"

    async def test(place: Place) -> None:
        told = said(await place.send(*(request[i : i + size] for i in range(0, len(request), size))))
        assert (told["method"], told["path"], told["body"]) == ("POST", "/a b", "hello")
        assert ["x-one", "1"] in told["headers"]

    at_a_door(test)


REFUSED = {
    "header lines without end": (431, [b"GET / HTTP/1.1\r\n" + HOST, *[b"X: " + PIECE + b"\r\n"] * 20]),
    "a value without end": (431, [b"GET / HTTP/1.1\r\n" + HOST + b"X: ", *[PIECE] * 20]),
    "a name without end": (431, [b"GET / HTTP/1.1\r\n" + HOST, *[PIECE] * 20]),
    "a URL without end": (414, [b"GET /", *[PIECE] * 20]),
    "a method without end": (414, [b"G" * 1000] * 20),
    "a large head at once": (431, [b"GET / HTTP/1.1\r\n" + HOST + b"X: " + PIECE * 5 + b"\r\n\r\n"]),
    "a long URL at once": (414, [b"GET /" + PIECE * 5 + b" HTTP/1.1\r\n" + HOST + b"\r\n"]),
    "many lines": (431, [b"GET / HTTP/1.1\r\n" + HOST + b"X:\r\n" * 40 + b"\r\n"]),
    "no host": (400, [b"GET / HTTP/1.1\r\n\r\n"]),
    "a host that is none": (400, [b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"]),
    "a host with a path": (400, [b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"]),
    "two hosts": (400, [b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n"]),
    "two lengths": (400, [b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"]),
    "one length twice": (400, [b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na"]),
    "a list of lengths": (400, [b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1, 1\r\n\r\na"]),
    "a length with a sign": (400, [b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: +1\r\n\r\na"]),
    "a length and chunks": (
        400,
        [b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
    ),
    "chunks and a length": (
        400,
        [b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"],
    ),
    "another coding": (400, [b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"]),
    "a hidden coding": (
        400,
        [
            b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"0\r\n\r\n",
        ],
    ),
    "chunks in HTTP/1.0": (400, [b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"]),
    "a space before the colon": (400, [b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length : 1\r\n\r\na"]),
    "a folded line": (400, [b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n"]),
    "lines that end in LF": (400, [b"GET / HTTP/1.1\nHost: localhost\n\n"]),
    "a lonely CR": (400, [b"GET / HTTP/1.1\r\n" + HOST + b"X: a\rY: b\r\n\r\n"]),
    "a NUL": (400, [b"GET / HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n"]),
    "a CR before the method": (400, [b"\rGET / HTTP/1.1\r\n" + HOST + b"\r\n"]),
    "LF before the method": (400, [b"\nGET / HTTP/1.1\r\n" + HOST + b"\r\n"]),
    "HTTP/2": (400, [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]),
    "HTTP/0.9": (400, [b"GET /\r\n\r\n"]),
    "TLS": (400, [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"]),
    "a tunnel": (400, [b"CONNECT localhost:80 HTTP/1.1\r\n" + HOST + b"\r\n"]),
    "a chunk that is longer": (400, [CHUNKED + b"1\r\nab\r\n0\r\n\r\n"]),
    "a chunk of no number": (400, [CHUNKED + b"0x1\r\na\r\n0\r\n\r\n"]),
    "a chunk of less than nothing": (400, [CHUNKED + b"-1\r\na\r\n0\r\n\r\n"]),
    "an extension without end": (400, [CHUNKED + b"1;", *[PIECE] * 20]),
    "trailers without end": (400, [CHUNKED + b"0\r\n", *[b"X: " + PIECE + b"\r\n"] * 20]),
    "a trailer without end": (400, [CHUNKED + b"0\r\nX: ", *[PIECE] * 20]),
    "a length in a trailer": (400, [CHUNKED + b"0\r\nContent-Length: 3\r\n\r\n"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_and_how(name: str) -> None:
    """It is answered in JSON, closed, and counted, and the application never sees a whole request of it."""
    status, pieces = REFUSED[name]
    before = meters.turned_away.total()

    async def test(place: Place) -> None:
        answer = await place.send(*pieces)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status), answer
        assert b"connection: close" in head
        assert json.loads(body)["error"]["message"]
        assert answer.count(b"HTTP/1.1 4") == 1
        assert meters.turned_away.total() == before + 1
        await until(lambda: not place.door.connections)

    at_a_door(test)


def test_two_requests_behind_each_other() -> None:
    """Each is answered, in its order, however they came; a body that nobody reads does not become a request."""
    refused = b"POST /refuse HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\n\r\nGET "
    last = b"GET /b HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n"

    async def test(place: Place) -> None:
        for pieces in ([GET, refused, GET, last], [GET + refused + GET + last]):
            place.application.asked.clear()
            answer = await place.send(*pieces)
            assert STATUS.findall(answer) == [b"200", b"401", b"200", b"200"]
            assert place.application.asked == ["/a", "/refuse", "/a", "/b"]

    at_a_door(test)


def test_a_flood_of_requests_is_not_kept() -> None:
    """While one is answered, what comes behind it waits where it is: in the network."""

    async def test(place: Place) -> None:
        stranger = await place.connect()
        stranger.writer.write(b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n" + GET * 200_000)
        await until(lambda: place.application.asked == ["/wait"])
        (connection,) = place.door.connections
        await until(lambda: len(connection._held) > 0)
        for _ in range(200):
            assert len(connection._held) <= 2 * LIMITS.head_bytes
            assert place.application.asked == ["/wait"]
            await stranger.reader.read(0)
        place.application.go_on.set()
        assert await stranger.status() == 200
        assert await stranger.status() == 200

    at_a_door(test)


def test_strangers_take_turns_and_friends_do_not() -> None:
    """Pipelined requests of strangers are answered a few at a time; those of friends as they come."""

    async def test(place: Place) -> None:
        friend, stranger = await place.connect(), await place.connect()
        await stranger.write(GET * 20)
        await friend.write(b"GET /a HTTP/1.1\r\n" + HOST + b"api-key: good\r\n\r\n" + GET * 19)
        for _ in range(20):
            assert await friend.status() == 200
        for _ in range(20):
            assert await stranger.status() == 200

    at_a_door(test)


def test_a_chunked_body_and_what_comes_behind_it() -> None:
    """Extensions and trailers are read over. What comes at once behind the last chunk is not answered: the connection ends."""
    body = b"5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nX: y\r\n\r\n"
    open_end = CHUNKED.replace(CLOSE, b"")

    async def test(place: Place) -> None:
        assert said(await place.send(CHUNKED, body))["body"] == "hello!"
        assert said(await place.send(CHUNKED + body + GET))["body"] == "hello!"
        place.application.asked.clear()
        assert said(await place.send(open_end + body + GET))["body"] == "hello!"
        assert place.application.asked == ["/a"]
        stranger = await place.connect()
        for _ in range(2):
            await stranger.write(open_end + body)
            assert await stranger.status() == 200

    at_a_door(test)


def test_many_small_chunks_are_no_fault() -> None:
    """A body of a thousand chunks, each with a small extension, is a body."""

    async def test(place: Place) -> None:
        assert said(await place.send(CHUNKED, b"1;q=1\r\na\r\n" * 2000, b"0\r\n\r\n"))["body"] == "a" * 2000

    at_a_door(test)


def test_a_wish_for_another_protocol_is_read_over() -> None:
    """Java's client asks for h2c on its first call; the call counts, body and all."""
    head = (
        b"POST /a HTTP/1.1\r\n"
        + HOST
        + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"
    )

    async def test(place: Place) -> None:
        stranger = await place.connect()
        await stranger.write(head + b"Content-Length: 5\r\n\r\nhello")
        assert await stranger.status() == 200
        assert place.application.read == 5

    at_a_door(test)


def test_who_waits_to_be_told_is_told_where_the_body_is_wanted() -> None:
    """`Expect: 100-continue` is answered with 100 by who reads the body, and with the answer alone by who does not."""
    wants = b"Expect: 100-continue\r\nContent-Length: 5000000\r\n\r\n"

    async def test(place: Place) -> None:
        stranger = await place.connect()
        await stranger.write(b"POST /a HTTP/1.1\r\n" + HOST + wants)
        assert await stranger.status() == 100
        await stranger.write(b"a" * 5_000_000)
        assert await stranger.status() == 200
        assert place.application.read == 5_000_000
        refused = await place.send(b"POST /refuse HTTP/1.1\r\n" + HOST + wants)
        assert refused.startswith(b"HTTP/1.1 401 ")
        assert b"connection: close" in refused

    at_a_door(test)


def test_the_answer_to_a_body_that_is_not_read_arrives() -> None:
    """A refusal in the middle of an upload is read by who is still sending; nothing of the body is kept."""

    async def test(place: Place) -> None:
        stranger = await place.connect()
        await stranger.write(b"POST /refuse HTTP/1.1\r\n" + HOST + b"Content-Length: 100000000\r\n\r\n")
        for _ in range(8):
            await stranger.write(b"a" * 100_000)
        assert await stranger.status() == 401
        await until(lambda: not place.door.connections or not stranger.writer.is_closing())
        await stranger.rest()

    at_a_door(test)


def test_an_application_that_fails_is_a_500() -> None:
    """Its connection ends; others do not notice."""

    async def test(place: Place) -> None:
        assert (await place.send(b"GET /fail HTTP/1.1\r\n" + HOST + b"\r\n")).startswith(b"HTTP/1.1 500 ")
        assert said(await place.send(GET.replace(HOST, HOST + CLOSE)))["path"] == "/a"

    at_a_door(test)


def test_http_1_0_needs_no_host_and_gets_an_end() -> None:
    """Old clients and health checks of balancers."""

    async def test(place: Place) -> None:
        assert said(await place.send(b"GET /a HTTP/1.0\r\n\r\n"))["path"] == "/a"

    at_a_door(test)


PATIENCE = Patience()
SLOW = {
    "nothing at all": (b"", b"", PATIENCE.head),
    "half a head": (b"GET / HTTP/1.1\r\n", b"408", PATIENCE.head),
    "half a body": (b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n\r\nhell", b"408", PATIENCE.body),
    "half a chunk": (CHUNKED + b"9\r\nhell", b"408", PATIENCE.body),
}


@pytest.mark.parametrize("name", SLOW)
def test_who_is_silent_is_given_up(name: str) -> None:
    """After its time, and not before; the application hears that a body does not come."""
    sent, status, seconds = SLOW[name]

    async def test(place: Place) -> None:
        stranger = await place.connect()
        await stranger.write(sent)
        await until(lambda: len(place.door.connections) == 1)
        (connection,) = place.door.connections
        await until(lambda: not sent or connection.phase.value >= 2)
        if sent.startswith(b"POST"):
            await until(lambda: place.application.asked == ["/a"])
            place.look_in(0)
        place.look_in(seconds - 1)
        assert place.door.connections
        place.look_in(seconds + 1)
        answer = await stranger.rest()
        assert answer[9:12] == status
        await until(lambda: not place.door.connections)
        if sent.startswith(b"POST"):
            await until(lambda: place.application.ended == ["disconnect"])

    at_a_door(test)


@pytest.mark.parametrize(("drop", "stays"), [(b"a", False), (b"a" * 2000, True)])
def test_a_drop_at_a_time_is_silence(drop: bytes, stays: bool) -> None:
    """A body of which a byte comes now and then is given up like one of which nothing comes; one that gets on is not."""

    async def test(place: Place) -> None:
        stranger = await place.connect()
        await stranger.write(b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: 1000000\r\n\r\n")
        await until(lambda: place.application.asked == ["/a"])
        (connection,) = place.door.connections
        place.look_in(0)
        for tick in range(1, 8):
            await stranger.write(drop)
            await until(lambda tick=tick: place.application.read == tick * len(drop))
            place.look_in(tick * PATIENCE.body / 4)
            if connection.phase is not Phase.BODY:
                break
        assert (connection.phase is Phase.BODY) is stays

    at_a_door(test)


def test_who_does_not_read_an_answer_is_given_up() -> None:
    """The application stops making it at once, and hears in the end that nobody takes it."""

    async def test(place: Place) -> None:
        stranger = await place.connect(receive_buffer=4096)
        await stranger.write(b"GET /large HTTP/1.1\r\n" + HOST + b"\r\n")
        await until(lambda: any(connection.writing_paused for connection in place.door.connections))
        place.look_in(0)
        place.look_in(PATIENCE.reader - 1)
        assert place.door.connections
        place.look_in(PATIENCE.reader + 1)
        await until(lambda: place.application.ended == ["gone"])
        assert not place.door.connections

    at_a_door(test)


def test_a_stream_is_heard_at_once_and_hears_its_end() -> None:
    """Events arrive as they are sent, however long the next one takes; who makes them hears at once that nobody listens."""

    async def test(place: Place) -> None:
        stranger = await place.connect()
        await stranger.write(b"GET /stream HTTP/1.1\r\n" + HOST + b"\r\n")
        assert b"transfer-encoding: chunked" in await stranger.reader.readuntil(b"\r\n\r\n")
        assert await stranger.reader.readexactly(14) == b"9\r\ndata: 1\n\n\r\n"
        place.look_in(100_000)
        assert place.application.ended == []
        stranger.writer.close()
        await until(lambda: place.application.ended == ["disconnect"])

    at_a_door(test)


def test_an_idle_connection_is_closed_without_a_word() -> None:
    """Clients take a 408 on it for the answer to what they are just sending."""

    async def test(place: Place) -> None:
        stranger = await place.connect()
        await stranger.write(GET)
        assert await stranger.status() == 200
        place.look_in(PATIENCE.idle - 1)
        assert place.door.connections
        place.look_in(PATIENCE.idle + 1)
        assert await stranger.rest() == b""

    at_a_door(test)


def test_what_takes_us_long_is_nobody_s_fault() -> None:
    """A request that is being worked on has all the time that it needs."""

    async def test(place: Place) -> None:
        stranger = await place.connect()
        await stranger.write(b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n")
        await until(lambda: place.application.asked == ["/wait"])
        place.look_in(100_000)
        place.application.go_on.set()
        assert await stranger.status() == 200

    at_a_door(test)


def test_room_for_friends_among_strangers() -> None:
    """A newcomer always gets in while strangers wait; the one that has waited longest goes, and no friend."""
    key = b"GET /a HTTP/1.1\r\n" + HOST + b"api-key: good\r\n\r\n"

    async def test(place: Place) -> None:
        friends = [await place.connect() for _ in range(3)]
        for friend in friends:
            await friend.write(key)
            assert await friend.status() == 200
        strangers = [await place.connect() for _ in range(7)]
        await until(lambda: len(place.door.connections) == 10)
        for _ in range(50):
            strangers.append(await place.connect())
            await until(lambda: len(place.door.connections) <= 10)
        late = await place.connect()
        await late.write(key)
        assert await late.status() == 200
        for friend in friends:
            await friend.write(GET)
            assert await friend.status() == 200
        assert await strangers[0].rest() == b""
        assert len(place.door.connections) <= 10

    at_a_door(test, connections_max=10)


def test_where_everybody_is_busy_a_newcomer_is_told() -> None:
    """What is being answered is never broken off for somebody else."""

    async def test(place: Place) -> None:
        busy = [await place.connect() for _ in range(10)]
        for each in busy:
            await each.write(b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n")
        await until(lambda: place.application.asked == ["/wait"] * 10)
        late = await place.connect()
        assert (await late.rest()).startswith(b"HTTP/1.1 503 ")
        place.application.go_on.set()
        for each in busy:
            assert await each.status() == 200

    at_a_door(test, connections_max=10)


def test_a_key_that_turns_out_to_be_good_too_late() -> None:
    """Who has given up meanwhile leaves no trace of it."""

    async def test(place: Place) -> None:
        stranger = await place.connect()
        await stranger.write(b"GET /late HTTP/1.1\r\n" + HOST + b"\r\n")
        await until(lambda: place.application.asked == ["/late"])
        stranger.writer.transport.abort()
        await until(lambda: not place.door.connections)
        place.application.go_on.set()
        await until(lambda: "known" in place.application.ended)

    at_a_door(test)
