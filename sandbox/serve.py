"""Servers on loopback for the stand-ins: one for ASGI apps, one for gRPC handlers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import grpc
import uvicorn
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

HOST = "127.0.0.1"
_DROP = "sandbox.drop"
_TURNS = 4
"""How often the event loop turns, at most, until a connection that it has just accepted is known and can be cut."""
_MAX_MESSAGE = 64 * 1024 * 1024  # gRPC's own limit of 4 MB lies below the limits that the stand-ins have to enforce


class _Server(ABC):
    """A context manager that closes itself."""

    @abstractmethod
    def close(self) -> None:
        """End the server."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class HttpServer(_Server):
    """An ASGI app on 127.0.0.1, served by uvicorn in a thread of its own.

    It accepts connections as soon as the constructor returns.

    Attributes:
        port: The port it listens on.
        url: ``http://127.0.0.1:PORT``, without a slash at the end.

    Raises:
        OSError: The port is taken.
        RuntimeError: The app failed in its own start-up (lifespan).
    """

    def __init__(self, app: ASGIApp, port: int = 0) -> None:
        self._socket = socket.create_server((HOST, port), backlog=512)
        # asyncio does it for sockets that name their protocol, and these do not; without it every answer waits 40 ms for an acknowledgement.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://{HOST}:{self.port}"
        logging.getLogger("uvicorn.error").addFilter(_not_cancelled)
        config = uvicorn.Config(app, http=_Protocol, ws="none", log_config=None, log_level="error", access_log=False, date_header=False)
        self._uvicorn = _Uvicorn(config)
        self._thread = threading.Thread(target=self._uvicorn.run, kwargs={"sockets": [self._socket]}, name=f"http:{self.port}", daemon=True)
        self._thread.start()
        self._uvicorn.settled.wait()
        if not self._uvicorn.started:
            self._socket.close()
            raise RuntimeError(f"The app for {self.url} failed while it started; the traceback on stderr says why.")

    def close(self) -> None:
        """End the server, cutting idle connections and the requests that are still running."""
        self._uvicorn.end()
        self._thread.join(timeout=10)


class Dropped(Response):
    """The answer that is none: the connection closes without a byte, as when a server dies after its work is done.

    On a server other than `HttpServer`, which cannot do that, it is a 503.
    """

    def __init__(self) -> None:
        super().__init__("the connection should have been dropped", status_code=503)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        drop = scope.get("extensions", {}).get(_DROP)
        if drop is None:
            await super().__call__(scope, receive, send)
            return
        drop()
        while (await receive())["type"] != "http.disconnect":
            pass


class GrpcServer(_Server):
    """Generic gRPC handlers on 127.0.0.1, in plaintext, with a pool of threads.

    Attributes:
        port: The port it listens on.
        address: ``127.0.0.1:PORT``.

    Raises:
        OSError: The port is taken.
    """

    def __init__(self, handlers: Sequence[grpc.GenericRpcHandler], port: int = 0, workers: int = 128) -> None:
        self._pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="grpc")
        options = [
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", _MAX_MESSAGE),
            ("grpc.max_send_message_length", _MAX_MESSAGE),
        ]
        self._server = grpc.server(self._pool, handlers=list(handlers), options=options)
        try:
            self.port: int = self._server.add_insecure_port(f"{HOST}:{port}")
        except RuntimeError as error:
            raise OSError(f"Port {port} on {HOST} cannot be listened on: {error}") from error
        self.address = f"{HOST}:{self.port}"
        self._server.start()

    def close(self) -> None:
        """End the server, cutting the calls that are still running."""
        self._server.stop(grace=None).wait()
        self._pool.shutdown(wait=False, cancel_futures=True)


class _Uvicorn(uvicorn.Server):
    """Uvicorn that tells when it has started, and cuts every connection when it ends."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.settled = threading.Event()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        with contextlib.suppress(SystemExit):  # its way to say that the app failed to start
            super().run(sockets)
        self.settled.set()

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._ending.set)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self._ending = asyncio.Event()
        self.settled.set()

    async def main_loop(self) -> None:
        await self.on_tick(0)  # sets the headers of every answer; the original ticks ten times a second, and ends as slowly
        await self._ending.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listener in sockets or []:
            self._loop.remove_reader(listener)  # a connection that is just being accepted while the server closes would stay open for ever
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        for task in list(self.server_state.tasks):
            task.cancel()
        await asyncio.gather(*self.server_state.tasks, return_exceptions=True)
        await self.lifespan.shutdown()
        for listener in sockets or []:
            listener.close()


class _Protocol(H11Protocol):
    """HTTP/1.1 whose requests can drop their own connection."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        app: Any = self.config.loaded_app

        async def with_drop(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "extensions": {**scope.get("extensions", {}), _DROP: transport.abort}}, receive, send)

        self.app = with_drop


def _not_cancelled(record: logging.LogRecord) -> bool:
    """A request that is cut when its server closes, or whose client dies while it asks, is no error worth a traceback."""
    return not (record.exc_info and record.exc_info[0] in (asyncio.CancelledError, ClientDisconnect))
