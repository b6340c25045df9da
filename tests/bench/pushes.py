"""Requests as Pub/Sub pushes them: so many on their way at once, each again until it is acknowledged; one thread, so that it takes little of the machine."""

from __future__ import annotations

import heapq
import selectors
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

BACKOFF = 1.0
"""Seconds before a message is delivered again; Pub/Sub's own ten would only make a measurement longer."""
_OK = b"HTTP/1.1 200 "


@dataclass
class Answers:
    """What came of them.

    Attributes:
        seconds: From the first to the last answer.
        lateness: For each message the seconds from when it was due to its acknowledgement.
        times: For each acknowledged request the seconds until its answer.
        again: How many deliveries were not acknowledged and came again.
    """

    seconds: float = 0.0
    lateness: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    again: int = 0

    @property
    def rate(self) -> float:
        """Messages acknowledged per second."""
        return len(self.times) / self.seconds

    def late(self, *shares: float) -> tuple[float, ...]:
        """Quantiles of the lateness."""
        return tuple(_quantile(self.lateness, share) for share in shares)

    def took(self, share: float) -> float:
        """A quantile of the times."""
        return _quantile(self.times, share)


@dataclass
class _Connection:
    socket: socket.socket
    number: int = -1
    begun: float = 0.0
    answer: bytes = b""


def push(port: int, posts: Sequence[bytes], *, at_once: int, rate: float = 0.0) -> Answers:
    """Have all of them answered.

    Args:
        port: Where the function listens, on loopback.
        posts: Whole requests.
        at_once: How many are on their way at once.
        rate: How many a second become due; 0 is all of them now.
    """
    begun = time.perf_counter()
    due = [(begun + (number / rate if rate else 0.0), number) for number in range(len(posts))]
    first = [at for at, _ in due]
    answers, idle = Answers(), [_Connection(_connected(port)) for _ in range(min(at_once, len(posts)))]
    everyone = [*idle]
    with selectors.DefaultSelector() as selector:
        while len(answers.times) < len(posts):
            now = time.perf_counter()
            while idle and due and due[0][0] <= now:
                _, number = heapq.heappop(due)
                connection = idle.pop()
                connection.number, connection.begun, connection.answer = number, time.perf_counter(), b""
                connection.socket.sendall(posts[number])
                selector.register(connection.socket, selectors.EVENT_READ, connection)
            pause = max(0.0, due[0][0] - now) if idle and due else None
            for key, _ in selector.select(pause):
                connection = key.data
                piece = connection.socket.recv(4096)
                connection.answer += piece
                if piece and not _whole(connection.answer):
                    continue
                selector.unregister(connection.socket)
                _settle(connection, answers, due, first)
                if not piece or b"close" in connection.answer:
                    connection.socket.close()
                    connection.socket = _connected(port)
                idle.append(connection)
    answers.seconds = time.perf_counter() - begun
    for connection in everyone:
        connection.socket.close()
    return answers


def _settle(connection: _Connection, answers: Answers, due: list[tuple[float, int]], first: Sequence[float]) -> None:
    now = time.perf_counter()
    if connection.answer.startswith(_OK):
        answers.times.append(now - connection.begun)
        answers.lateness.append(now - first[connection.number])
    else:
        answers.again += 1
        heapq.heappush(due, (now + BACKOFF, connection.number))


def _connected(port: int) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port))
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def _whole(answer: bytes) -> bool:
    head, found, rest = answer.partition(b"\r\n\r\n")
    if not found:
        return False
    length = head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]
    return len(rest) >= int(length or 0)


def _quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
