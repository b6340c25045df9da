"""The servers that the stand-ins are served by."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import threading
import time
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
import requests
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Message

from sandbox.serve import Dropped, GrpcServer, HttpServer


async def _hello(_request: Request) -> Response:
    return PlainTextResponse("hello")


async def _drop(request: Request) -> Response:
    await request.body()
    return Dropped()


APP = Starlette(routes=[Route("/", _hello), Route("/drop", _drop, methods=["POST"])])


def test_app_is_served_at_once() -> None:
    """The server answers as soon as it is there, on a port of its own on loopback."""
    with HttpServer(APP) as server:
        assert server.url == f"http://127.0.0.1:{server.port}"
        assert requests.get(server.url, timeout=5).text == "hello"
    with pytest.raises(requests.ConnectionError):
        requests.get(server.url, timeout=5)


def test_port_can_be_chosen_and_is_free_afterwards() -> None:
    """A port that was closed can be taken again at once, and one that is taken is an error."""
    with HttpServer(APP) as server:
        port = server.port
        requests.get(server.url, timeout=5)
        with pytest.raises(OSError, match="in use"):
            HttpServer(APP, port)
    with HttpServer(APP, port) as server:
        assert requests.get(server.url, timeout=5).text == "hello"


def test_closing_while_somebody_connects_leaves_nothing_open() -> None:
    """A connection that is accepted at the very moment is closed like all others, however the two meet."""

    def connect(port: int) -> None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            client.recv(1)

    for _ in range(30):
        server = HttpServer(APP)
        threads = [threading.Thread(target=connect, args=(server.port,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        server.close()
        for thread in threads:
            thread.join()
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        gc.collect()
    assert [str(each.message) for each in found if each.category is ResourceWarning] == []


def test_closing_does_not_wait_for_anybody() -> None:
    """Closing cuts idle connections and requests that are still running."""
    arrived = threading.Event()

    async def slow(_request: Request) -> Response:
        arrived.set()
        await asyncio.sleep(60)
        return PlainTextResponse("late")

    server = HttpServer(Starlette(routes=[Route("/", _hello), Route("/slow", slow)]))
    idle = requests.Session()
    idle.get(server.url, timeout=5)
    failures: list[Exception] = []

    def ask() -> None:
        try:
            requests.get(f"{server.url}/slow", timeout=30)
        except requests.ConnectionError as error:
            failures.append(error)

    asker = threading.Thread(target=ask)
    asker.start()
    assert arrived.wait(5)
    started = time.monotonic()
    server.close()
    asker.join(5)
    idle.close()
    assert time.monotonic() - started < 1
    assert len(failures) == 1


def test_start_up_and_shut_down_of_the_app_are_run() -> None:
    """The app's lifespan surrounds its service, and a failure in it is an error of the constructor."""
    events: list[str] = []

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        events.append("up")
        yield
        events.append("down")

    with HttpServer(Starlette(lifespan=lifespan)):
        assert events == ["up"]
    assert events == ["up", "down"]


def test_failed_start_up_is_told() -> None:
    """A server whose app cannot start does not hang."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        raise ValueError("no")
        yield

    with pytest.raises(RuntimeError, match="failed while it started"):
        HttpServer(Starlette(lifespan=lifespan))


def test_dropped_answer_is_no_answer() -> None:
    """A dropped answer closes the connection without a byte; elsewhere it is a 503."""
    with HttpServer(APP) as server, requests.Session() as session:
        assert session.get(server.url, timeout=5).text == "hello"
        with pytest.raises(requests.ConnectionError, match="RemoteDisconnected"):
            session.post(f"{server.url}/drop", data=b"x" * 100_000, timeout=5)
        assert session.get(server.url, timeout=5).text == "hello"

    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(Dropped()({"type": "http"}, receive, send))
    assert sent[0]["status"] == 503


def test_grpc_server_answers_and_closes() -> None:
    """A handler is served on loopback until the server is closed, and a taken port is an error."""
    handler = grpc.method_handlers_generic_handler(
        "test.Echo", {"Say": grpc.unary_unary_rpc_method_handler(lambda request, _context: request + b"!")}
    )
    with GrpcServer([handler]) as server:
        assert server.address == f"127.0.0.1:{server.port}"
        with grpc.insecure_channel(server.address, [("grpc.max_receive_message_length", -1)]) as channel:
            say: Any = channel.unary_unary("/test.Echo/Say")
            assert say(b"hello", timeout=5) == b"hello!"
            assert len(say(b"x" * 11_000_000, timeout=5)) == 11_000_001
        with pytest.raises(OSError, match=str(server.port)):
            GrpcServer([handler], server.port)
