"""The signs that a run has failed: those that have names, and which objects' names a policy means, told without its model. Pure.

The model takes as long to load as a whole instance takes to start, and almost every object that is written is no sign.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from shared.errors import SettingsError
from shared.policy.names import bucket_name, object_name
from shared.policy.text import read

_NOTHING: Mapping[str, tuple[str | int | bool, ...]] = MappingProxyType({})

READY_MADE: Mapping[str, Mapping[str, Mapping[str, tuple[str | int | bool, ...]]]] = MappingProxyType({
    "failed_marker": {"_FAILED": _NOTHING},
    # What an exit handler writes of its `PipelineTaskFinalStatus`; the backend of Kubeflow Pipelines passes on the state of ML Metadata, which spells
    # CANCELED: https://github.com/google/ml-metadata/blob/master/ml_metadata/proto/metadata_store.proto
    "kubeflow": {"final_status.json": {"state": ("FAILED", "CANCELLED", "CANCELED")}},
    # RunStatus: https://github.com/mlflow/mlflow/blob/master/mlflow/protos/service.proto
    "mlflow": {"meta.yaml": {"status": (4, 5)}},
    # EXPR_ERROR_FILE and EXPR_ERROR_PICKLE_FILE: https://github.com/ray-project/ray/blob/master/python/ray/air/constants.py
    "ray_tune": {"error.txt": _NOTHING, "error.pkl": _NOTHING},
    # https://kubeflow-pipelines.readthedocs.io/en/stable/source/dsl.html#kfp.dsl.PipelineTaskFinalStatus
    "vertex_ai": {"final_status.json": {"state": ("FAILED", "CANCELLED")}},
})  # fmt: skip
"""Signs that have names, since many people need the same ones: by name, by object, what the object has to say; nothing where it only has to be there."""

KEYS: Mapping[str, frozenset[str]] = MappingProxyType({
    "policy": frozenset({
        "version", "mode", "scope", "protect", "limits", "on_drift", "stale_after", "blind_after", "required_labels", "allowed_billing_accounts",
        "slack", "budgets", "artifacts",
    }),
    "rule": frozenset({
        "bucket", "runs", "failed_when", "unless", "keep", "wait", "abandoned_after", "require_soft_delete", "limits",
    }),
    "sign": frozenset({"object", "has"}),
})  # fmt: skip
"""All keys that the model knows where signs are written. Any other may be a misspelt one of these, and then nothing can be told."""


def sign_names(text: str) -> Mapping[str, frozenset[str]] | None:
    """The last parts of the names of all objects that may say that a run has failed, by bucket.

    Whatever else may be wrong with the policy, an object of another name is no sign by what its author wrote.

    Args:
        text: A policy, which nobody has checked.

    Returns:
        None where the signs are not plainly written, and the model has to say what is wrong.
    """
    try:
        document = read(text)
        found: dict[str, frozenset[str]] = {}
        for rule in _rules(None if document.faults else document.data):
            bucket, names = _named(rule)
            found[bucket] = found.get(bucket, frozenset()) | names
    except (SettingsError, ValueError):  # the model says it better, with the line
        return None
    return found


def last_part(name: str) -> str:
    """What stands behind the last slash of an object's name."""
    return name[name.rfind("/") + 1 :]


def _rules(data: Any) -> list[Any]:
    if _knows(data, "policy") and type(data.get("version")) is int and data["version"] == 1:
        rules = data.get("artifacts", [])
        if isinstance(rules, list):
            return rules
    raise ValueError("not plainly a policy of this version")


def _named(rule: Any) -> tuple[str, frozenset[str]]:
    if not _knows(rule, "rule") or not isinstance(rule.get("bucket"), str) or not isinstance(rule.get("failed_when", []), list):
        raise ValueError("not plainly a rule")
    return bucket_name(rule["bucket"]), frozenset(last_part(name) for sign in rule.get("failed_when", []) for name in _objects(sign))


def _objects(sign: Any) -> Iterator[str]:
    if isinstance(sign, str) and sign in READY_MADE:
        yield from READY_MADE[sign]
    elif _knows(sign, "sign") and isinstance(sign.get("object"), str):
        yield object_name(sign["object"])
    else:
        raise ValueError("not plainly a sign")


def _knows(value: Any, part: str) -> bool:
    return isinstance(value, dict) and KEYS[part].issuperset(value)
