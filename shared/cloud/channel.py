"""Google's gRPC clients, against Google or against a server that stands in for it."""

from __future__ import annotations

import importlib
from typing import Any


def connect(module: str, client: str, emulator: str | None) -> Any:
    """A client, which may be shared between threads.

    Args:
        module: Where its class is, ``google.cloud.run_v2``; imported here, since that takes up to half a second.
        client: Its class's name.
        emulator: ``host:port`` of a plaintext server; None is Google's own, with the default credentials.
    """
    made = getattr(importlib.import_module(module), client)
    if not emulator:
        return made()
    import grpc

    channel = grpc.insecure_channel(emulator, options=[("grpc.max_receive_message_length", -1)])
    return made(transport=made.get_transport_class("grpc")(channel=channel))
