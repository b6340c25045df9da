"""A provider that knows the schema of hashicorp/google and nothing else, for machines that the registry of Terraform cannot be reached from.

`terraform validate` and `terraform test` with a mocked provider ask a provider for its schema alone. Terraform is told of it by TF_REATTACH_PROVIDERS:
https://developer.hashicorp.com/terraform/plugin/debugging
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from tf.gen import tfplugin_pb2 as pb
from tf.gen import tfplugin_pb2_grpc as rpc
from tf.types import Unknown
from tf.utils import read_dynamic_value, to_dynamic_value

SCHEMA = Path(__file__).resolve().parents[2] / "terraform" / "schema.json"
NAME = "registry.terraform.io/hashicorp/google"
_NESTING = {"list": pb.Schema.NestedBlock.NestingMode.LIST, "set": pb.Schema.NestedBlock.NestingMode.SET}


def _block(found: dict[str, Any]) -> pb.Schema.Block:
    return pb.Schema.Block(
        attributes=[
            pb.Schema.Attribute(
                name=name,
                type=json.dumps(kind).encode(),
                required=mode == "required",
                optional=mode == "optional",
                computed=mode == "computed",
            )
            for name, (mode, kind) in found["attributes"].items()
        ],
        block_types=[
            pb.Schema.NestedBlock(
                type_name=name, block=_block(inner), nesting=_NESTING[inner["nesting"]], min_items=inner["min"], max_items=inner["max"]
            )
            for name, inner in found["blocks"].items()
        ],
    )


def _planned(found: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    """The value, with what only the real thing could know left unknown."""
    known = {
        name: Unknown if value.get(name) is None and mode == "computed" else value.get(name)
        for name, (mode, _) in found["attributes"].items()
    }
    inner = {name: [_planned(block, each) for each in value.get(name) or []] for name, block in found["blocks"].items()}
    return {**known, **inner}


class Provider(rpc.ProviderServicer):  # type: ignore[misc]  # the stubs have no types
    """The calls that `init`, `validate`, `plan` and `test` make."""

    def __init__(self, schema: dict[str, Any]) -> None:
        """Keep the schema."""
        self._schema = schema

    def GetProviderSchema(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        """What there is."""
        return pb.GetProviderSchema.Response(
            provider=pb.Schema(block=_block(self._schema["provider"])),
            resource_schemas={name: pb.Schema(block=_block(found)) for name, found in self._schema["resources"].items()},
            data_source_schemas={name: pb.Schema(block=_block(found)) for name, found in self._schema["data"].items()},
        )

    def ValidateProviderConfig(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        """Terraform itself holds it against the schema."""
        return pb.ValidateProviderConfig.Response()

    def ValidateResourceConfig(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        """The same."""
        return pb.ValidateResourceConfig.Response()

    def ValidateDataResourceConfig(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        """The same."""
        return pb.ValidateDataResourceConfig.Response()

    def ConfigureProvider(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        """There is nothing to connect to."""
        return pb.ConfigureProvider.Response()

    def PlanResourceChange(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        """What is asked for, and the rest unknown."""
        value = read_dynamic_value(request.proposed_new_state)
        planned = request.proposed_new_state if value is None else to_dynamic_value(_planned(self._schema["resources"][request.type_name], value))
        return pb.PlanResourceChange.Response(planned_state=planned, legacy_type_system=True)

    def ReadDataSource(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        """What is asked for, with a placeholder for what would be found."""
        value = read_dynamic_value(request.config)
        for name, (_, kind) in self._schema["data"][request.type_name]["attributes"].items():
            if value.get(name) is None and kind == "string":
                value[name] = "123456789012" if name == "number" else f"known-after-apply-{name}"
        return pb.ReadDataSource.Response(state=to_dynamic_value(value))


@contextmanager
def served(schema: Path = SCHEMA) -> Iterator[dict[str, str]]:
    """Serve the schema, and yield the environment in which Terraform finds it."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    rpc.add_ProviderServicer_to_server(Provider(json.loads(schema.read_text(encoding="utf-8"))), server)
    with tempfile.TemporaryDirectory() as folder:
        address = f"{folder}/provider.sock"
        server.add_insecure_port(f"unix://{address}")
        server.start()
        try:
            reattach = {
                NAME: {
                    "Protocol": "grpc",
                    "ProtocolVersion": 6,
                    "Pid": os.getpid(),
                    "Test": True,
                    "Addr": {"Network": "unix", "String": address},
                }
            }
            yield {"TF_REATTACH_PROVIDERS": json.dumps(reattach)}
        finally:
            server.stop(None).wait()
