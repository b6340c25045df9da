"""A provider that knows the schema of hashicorp/google and nothing else, for machines that the registry of Terraform cannot be reached from.

`terraform validate`, and `terraform test` with a mocked provider, ask a provider for its schema alone, in version 6 of the protocol between them:
https://developer.hashicorp.com/terraform/plugin/terraform-plugin-protocol. TF_REATTACH_PROVIDERS tells Terraform of a provider that runs already:
https://developer.hashicorp.com/terraform/plugin/debugging.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc

NAME = "registry.terraform.io/hashicorp/google"
_NESTING = {"list": 2, "set": 3}
_MODE = {"required": 4, "optional": 5, "computed": 6}
_ANSWERS = "ValidateProviderConfig", "ValidateResourceConfig", "ValidateDataResourceConfig", "ConfigureProvider", "StopProvider"
"""An empty answer to these says that all is well. Terraform itself holds the arguments against the schema."""


# Messages of protocol buffers, of which only these few are needed: https://protobuf.dev/programming-guides/encoding/


def _varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + _varint(number >> 7)  # seven bits a byte


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _block(found: Mapping[str, Any]) -> bytes:
    attributes = [
        _field(2, _field(1, name) + _field(2, json.dumps(kind)) + _field(_MODE[mode], 1))
        for name, (mode, kind) in found["attributes"].items()
    ]
    blocks = [
        _field(
            3,
            _field(1, name)
            + _field(2, _block(inner))
            + _field(3, _NESTING[inner["nesting"]])
            + _field(4, inner["min"])
            + _field(5, inner["max"]),
        )
        for name, inner in found["blocks"].items()
    ]
    return b"".join([*attributes, *blocks])


def _schema(found: Mapping[str, Any]) -> bytes:
    return _field(2, _block(found))


def _everything(schema: Mapping[str, Any]) -> bytes:
    kinds = ((2, schema["resources"]), (3, schema["data"]))
    named = [_field(number, _field(1, name) + _field(2, _schema(found))) for number, kind in kinds for name, found in kind.items()]
    return _field(1, _schema(schema["provider"])) + b"".join(named)


class _Provider(grpc.GenericRpcHandler):
    def __init__(self, schema: Mapping[str, Any]) -> None:
        everything = _everything(schema)
        self._methods: dict[str, Callable[[bytes, Any], bytes]] = {
            "/tfplugin6.Provider/GetProviderSchema": lambda _request, _context: everything,
            **{f"/tfplugin6.Provider/{name}": lambda _request, _context: b"" for name in _ANSWERS},
        }

    def service(self, handler_call_details: Any) -> Any:
        answer = self._methods.get(handler_call_details.method)
        return grpc.unary_unary_rpc_method_handler(answer) if answer else None


@contextmanager
def served(schema: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Serve a schema, and yield the environment in which Terraform finds it.

    Args:
        schema: As ``schema.json`` holds it.
    """
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    server.add_generic_rpc_handlers((_Provider(schema),))
    with tempfile.TemporaryDirectory() as folder:
        address = f"{folder}/provider.sock"
        server.add_insecure_port(f"unix://{address}")
        server.start()
        where = {"Network": "unix", "String": address}
        try:
            yield {
                "TF_REATTACH_PROVIDERS": json.dumps(
                    {NAME: {"Protocol": "grpc", "ProtocolVersion": 6, "Pid": os.getpid(), "Test": True, "Addr": where}}
                )
            }
        finally:
            server.stop(None).wait()
