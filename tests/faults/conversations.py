"""A client's connections: brought to a phase of their life, and read to their end."""

from __future__ import annotations

import json
import math
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import h2.events
import h2.exceptions

from tests.server.support.http2 import HTTP2Client
from tests.server.support.websocket import BINARY, CLOSE, PING, PONG, TEXT, WebSocket, close_frame, frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.support.process import Server

# How long anything may take that has to come.
PATIENCE = 20.0
# More bytes than the kernel may have kept, of what was sent before: the server still sends.
ENDLESS = 32 * 1024 * 1024

NAMES = {TEXT: "text", BINARY: "data", PING: "ping", PONG: "pong"}


class Conversation:
    """One connection.

    Attributes:
        peer: The socket, and what can be sent on it.
        key: Under which the application tells what it sees.
        rest: What a client would send next.
        releasable: Whether the application waits for `release`.
        half_closes: Whether a client of this protocol ends its own direction when it has sent all it has to send.
    """

    rest: bytes
    half_closes = False

    def __init__(self, server: Server, target: str) -> None:
        self.server = server
        self.target = target
        self.start = len(server.log.lines)
        self.peer = WebSocket(server.connect(receive_buffer=64 * 1024), server.host)
        self.peer.socket.settimeout(PATIENCE)
        self.key = self.peer.key
        self.releasable = target in ("/deciding", "/busy")

    def begin(self) -> None:
        """Bring it to its phase."""
        raise NotImplementedError

    def close(self) -> None:
        with suppress(OSError):
            self.peer.reset()

    def half_close(self) -> None:
        """End our direction, if the connection has not ended."""
        with suppress(OSError):
            self.peer.socket.shutdown(socket.SHUT_WR)

    def leave(self) -> None:
        """End it as an ordinary client does, if that is not the server's turn."""
        self.half_close()

    def release(self) -> None:
        """Let the application go on that waits for nothing else; what we did before has arrived there."""
        for key in ("", self.key):
            with self.server.peer() as other:
                assert other.ask("POST", f"/release?{key}").status == 200
            self.server.log.search(f'"{other.key}", "what": "alive"', start=self.start, timeout=PATIENCE)

    # What the application tells

    def told(self) -> list[str]:
        """What the application has told so far, after it was ready."""
        return [told["what"] for told in self._told() if told["what"] not in ("ready", "alive")]

    def _told(self) -> list[dict[str, Any]]:
        lines = [line for line in self.server.log.lines[self.start :] if line.startswith("TOLD ")]
        return [told for told in map(json.loads, (line[5:] for line in lines)) if told["key"] == self.key]

    def wait_until(self, *what: str) -> dict[str, Any]:
        """Wait until the application tells what begins like that."""

        def wanted(line: str) -> dict[str, Any] | None:
            if not line.startswith("TOLD "):
                return None
            told: dict[str, Any] = json.loads(line[5:])
            return told if told["key"] == self.key and told["what"].startswith(what) else None

        found: dict[str, Any] = self.server.log.find(wanted, start=self.start, timeout=PATIENCE)
        return found

    def wait_for_the_end(self) -> None:
        """Wait until the application has ended."""
        self.wait_until("returns", "ends")

    # What the client sees

    def sees(self, most: float = math.inf) -> str:
        """Read to the end, or until more has come than so many bytes, as an ordinary client; what came, in words."""
        words, size = Words(), 0
        # What has been read before counts, also where nothing follows it but RST.
        self.interpret(self.peer.take_unread(), words)
        while size < most:
            try:
                data = self.peer.socket.recv(65536)
            except TimeoutError:
                words.add("silence")
                return str(words)
            except OSError:
                words.add("RST")
                return str(words)
            self.interpret(data, words)
            if not data:
                words.add("FIN")
                return str(words)
            size += len(data)
        words.add("on and on")
        return str(words)

    def interpret(self, data: bytes, words: Words) -> None:
        """Say what has come, and answer it."""
        raise NotImplementedError

    def send(self, data: bytes) -> None:
        """Send, if there is anybody who takes it."""
        with suppress(OSError):
            self.peer.send(data)


class Words:
    """What was seen, in a row; what comes again and again is said once."""

    def __init__(self) -> None:
        self._words: list[str] = []

    def add(self, word: str) -> None:
        if self._words[-1:] != [word]:
            self._words.append(word)

    def forget(self, word: str) -> None:
        """Take the last word back, if it is this one."""
        if self._words[-1:] == [word]:
            self._words.pop()

    def __str__(self) -> str:
        return ", ".join(self._words)


class Frames:
    """Reads a WebSocket as an ordinary client does; `answer` sends."""

    def __init__(self, answer: Callable[[bytes], None]) -> None:
        self._answer = answer
        self._unread = b""

    def interpret(self, data: bytes, words: Words) -> None:
        data = self._unread + data
        while len(data) >= 4 or (len(data) >= 2 and data[1] < 126):
            # No message here is as long as 64 KiB.
            start, length = (4, int.from_bytes(data[2:4], "big")) if data[1] == 126 else (2, data[1])
            if len(data) < start + length:
                break
            self._frame(data[0] & 15, data[start : start + length], words)
            data = data[start + length :]
        self._unread = data

    def _frame(self, opcode: int, payload: bytes, words: Words) -> None:
        if opcode == CLOSE:
            code = int.from_bytes(payload[:2], "big")
            words.add(f"close {code}")
            self._answer(close_frame(code))
        elif opcode == PING:
            self._answer(frame(PONG, payload))
        else:
            words.add(NAMES[opcode])


class HTTP1(Conversation):
    """A connection that begins with HTTP/1.1, and goes on with a WebSocket or a stream of bytes."""

    answered = False
    websocket = True

    def __init__(self, server: Server, target: str) -> None:
        super().__init__(server, target)
        self._frames = Frames(self.send)
        self._head = b""
        self._refused = False

    def interpret(self, data: bytes, words: Words) -> None:
        if self._refused:
            return
        if not self.answered:
            self._head += data
            head, mark, data = self._head.partition(b"\r\n\r\n")
            if not mark:
                return
            status = head.split(b" ")[1].decode()
            words.add(status)
            self.answered = True
            if status != "101":
                self._refused = True
                self.half_close()  # and read what else it says
                return
        if data and self.websocket:
            self._frames.interpret(data, words)
        elif data:
            words.add("data")

    def wait_for_data(self) -> None:
        """Wait until something has come, if the application sends; leave it unread."""
        if "sending" in self.target:
            assert self.peer._unread or self.peer.socket.recv(1, socket.MSG_PEEK)

    def leave(self) -> None:
        if self.websocket:
            self.send(frame(PING) + close_frame(1000))
        else:
            self.half_close()


class Handshake(HTTP1):
    """The head of a handshake has been sent, or half of it."""

    def begin(self) -> None:
        head = self.peer.handshake(self.target)
        if self.target.startswith("/idle"):
            half = len(head) // 2
            self.peer.send(head[:half])
            self.rest = head[half:] + frame(TEXT, b"hello") + close_frame(1000)
        else:
            self.peer.send(head)
            self.wait_until("ready")
            self.rest = frame(TEXT, b"hello") + close_frame(1000)


class Accepted(HTTP1):
    """The endpoint has accepted, and the client has not read the 101."""

    def begin(self) -> None:
        self.peer.send(self.peer.handshake(self.target))
        self.wait_until("ready")
        self.rest = frame(TEXT, b"hello") + close_frame(1000)


class Open(HTTP1):
    """A WebSocket."""

    answered = True

    def begin(self) -> None:
        self.peer.open(self.target)
        self.wait_until("ready")
        self.wait_for_data()
        self.rest = frame(TEXT, b"hello") + close_frame(1000)


class InAMessage(Open):
    def begin(self) -> None:
        super().begin()
        whole = frame(TEXT, b"hello, how are you?")
        self.peer.send(whole[:10])
        self.rest = whole[10:] + close_frame(1000)


class ClosedByClient(Open):
    """The client has sent a close frame, and the application does something else."""

    def begin(self) -> None:
        super().begin()
        self.peer.send(close_frame(3000))
        self.rest = b"even more"


class ClosedByApplication(Open):
    """The application has sent a close frame, which the client has not answered."""

    def begin(self) -> None:
        super().begin()
        self.wait_until("closed")
        self.rest = close_frame(4000)


class Table(HTTP1):
    """A stream of bytes, by the table `protocols=`."""

    answered = True
    websocket = False
    half_closes = True
    offer = "table"

    def begin(self) -> None:
        fields = {"Connection": "Upgrade", "Upgrade": self.offer}
        self.peer.send(self.peer.request("GET", self.target, fields))
        assert self.peer.receive_response().status == 101
        self.wait_until("ready")
        self.wait_for_data()
        self.rest = b"hello, how are you?"


class Response(Table):
    """A stream of bytes, by an `UpgradeResponse`."""

    offer = "stream"


class BeforeResponse(HTTP1):
    """The endpoint that would answer with an `UpgradeResponse` has not done so."""

    websocket = False
    half_closes = True

    def begin(self) -> None:
        self.peer.send(self.peer.request("GET", self.target, {"Connection": "Upgrade", "Upgrade": "stream"}))
        self.wait_until("ready")
        self.rest = b"hello, how are you?"


class HTTP2(Conversation):
    """HTTP/2 by an upgrade; the request that offered it is served already."""

    stream_id = 1
    half_closes = True

    def wait_for_data(self) -> None:
        """Wait until something has come, if the application sends."""
        if "sending" in self.target:
            self.client.until(lambda: any(map(self._is_data, self.client.events)))

    def _is_data(self, event: h2.events.Event) -> bool:
        return isinstance(event, h2.events.DataReceived) and event.stream_id == self.stream_id and bool(event.data)

    def begin(self) -> None:
        self.client = HTTP2Client(self.peer)
        self.client.upgrade(target=self.target)
        self.wait_until("ready")
        self.wait_for_data()
        self.rest = b"\0\0\x08\x06\0\0\0\0\0" + b"my ping."

    def interpret(self, data: bytes, words: Words) -> None:
        with suppress(OSError):
            self.client._take(data)
        for event in self.client.events:
            self._say(event, words)
        self.client.events.clear()

    def _say(self, event: h2.events.Event, words: Words) -> None:
        if isinstance(event, h2.events.ConnectionTerminated):
            words.add(f"GOAWAY {int(event.error_code or 0)}")
            return
        if getattr(event, "stream_id", 0) != self.stream_id:
            return
        # A GOAWAY that is not the end announces it. Where it comes in a stream's data depends on both sides' pace.
        words.forget("GOAWAY 0")
        if isinstance(event, h2.events.ResponseReceived):
            fields: Any = event.headers
            words.add(fields[0][1])
        elif isinstance(event, h2.events.DataReceived):
            self._say_data(event.data or b"", words)
        elif isinstance(event, h2.events.StreamEnded):
            words.add("END")
        elif isinstance(event, h2.events.StreamReset):
            words.add(f"RESET {int(event.error_code or 0)}")

    def _say_data(self, data: bytes, words: Words) -> None:
        if data:
            words.add("data")


class BeforePreface(HTTP2):
    """The 101 has come; the preface has not been sent, or half of it."""

    def begin(self) -> None:
        self.client = HTTP2Client(self.peer)
        self.peer.send(self.client.ask(target=self.target))
        assert self.peer.receive_response().status == 101
        self.wait_until("ready")
        # Not all of it: a client that is slow enough is not waited for.
        self.rest = self.client.h2.data_to_send()


class InThePreface(BeforePreface):
    def begin(self) -> None:
        super().begin()
        self.peer.send(self.rest[:10])
        self.rest = self.rest[10:]


class OverHTTP2(HTTP2):
    """A WebSocket on a stream."""

    half_closes = False

    def begin(self) -> None:
        self.client = HTTP2Client(self.peer)
        self.client.upgrade(target="/alive")
        self.client.answer(1)
        self.stream = self.client.websocket(self.target)
        self.stream_id = 3
        self.wait_until("ready")
        # Forget what was before, but not the messages that have come with the handshake's answer.
        self.client.events = [event for event in self.client.events if self._is_data(event)]
        self.wait_for_data()
        message = frame(TEXT, b"hello") + close_frame(1000)
        self.rest = struct.pack(">I", len(message))[1:] + b"\0\0" + struct.pack(">I", self.stream_id) + message
        self._frames = Frames(self._answer)

    leaving = False

    def leave(self) -> None:
        self._answer(frame(PING) + close_frame(1000))
        self.client.h2.end_stream(self.stream_id)
        self.client.flush()
        self.leaving = True

    def _say(self, event: h2.events.Event, words: Words) -> None:
        super()._say(event, words)
        if self.leaving and isinstance(event, h2.events.StreamEnded):
            self.half_close()

    def _answer(self, data: bytes) -> None:
        with suppress(h2.exceptions.ProtocolError):  # the stream has ended
            self.stream.send(data)

    def _say_data(self, data: bytes, words: Words) -> None:
        self._frames.interpret(data, words)
