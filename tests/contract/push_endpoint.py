"""An endpoint for pushes that misbehaves as it is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sandbox.serve import Dropped


@dataclass
class Endpoint:
    """A function's address: answers as it is told, then 200, and keeps what it received."""

    answers: list[int] = field(default_factory=list)
    received: list[tuple[dict[str, str], Any]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope, receive)
            self.received.append((dict(request.headers), await request.json()))
            status = self.answers.pop(0) if self.answers else 200
            await (Response(status_code=status) if status else Dropped())(scope, receive, send)

    def messages(self) -> list[dict[str, Any]]:
        return [body["message"] for _, body in self.received]
