"""The demo's training runs: what a team keeps in its bucket, laid out as MLflow's file store does it, and what becomes of a run."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from sandbox.cloud import ARTIFACTS_BUCKET
from sandbox.storage_model import Storage
from sandbox.storage_state import Stored

State = Literal["running", "finished", "failed"]
_STATUS: dict[State, int] = {
    "running": 1,
    "finished": 3,
    "failed": 4,
}  # https://github.com/mlflow/mlflow/blob/master/mlflow/protos/service.proto
_STATES: dict[str, State] = {str(number): state for state, number in _STATUS.items()}
_MARKERS: dict[str, State] = {"_SUCCESS": "finished", "_FAILED": "failed"}
_FOLDER = re.compile(r"mlruns/(?P<experiment>[^/]+)/[^/]+/|runs/[^/]+/")
_CHECKPOINT = re.compile(r"artifacts/checkpoints/epoch-(\d+)\.ckpt")
_EPOCH = timedelta(minutes=40)
_GIB = 1 << 30
_PARAMS = {"base_model": "acme-8b", "batch_size": "64", "lr": "0.0003", "scheduler": "cosine"}
_META, _KEEP = "meta.yaml", "_KEEP"


@dataclass(frozen=True)
class Run:
    """One run as it stands when the demo begins.

    Attributes:
        name: What people call it.
        experiment: The number of its experiment.
        epochs: How many checkpoints it has.
        gib: How large each of them is, in GiB.
        state: What its status file says.
        days: How long ago it was last written to.
        promoted: Whether somebody wants it kept.
        beside: The name of the run that this folder is a sibling of: its name begins the same.
    """

    name: str
    experiment: int
    epochs: int
    gib: float
    state: State = "running"
    days: float = 0.0
    promoted: bool = False
    beside: str = ""

    @property
    def id(self) -> str:
        """What its folder is called."""
        known = hashlib.md5((self.beside or self.name).encode(), usedforsecurity=False).hexdigest()
        return f"{known}-resumed" if self.beside else known

    @property
    def folder(self) -> str:
        """Where its objects are, with the slash at the end."""
        return f"mlruns/{self.experiment}/{self.id}/"


DOOMED = Run("sft-8b-lr3e4", 1, 14, 15.0)
RETRIED = Run("sft-8b-lr1e4", 1, 9, 15.0)
PROMOTED = Run("sft-8b-warmstart", 1, 11, 15.0, promoted=True)
NEIGHBOUR = Run("sft-8b-lr3e4 resumed", 1, 4, 15.0, beside=DOOMED.name)
RUNS = (
    DOOMED,
    RETRIED,
    PROMOTED,
    NEIGHBOUR,
    Run("sft-8b-base", 1, 20, 15.0, "finished", 6),
    Run("lora-r16", 1, 8, 0.4, "finished", 9),
    Run("lora-r64", 1, 8, 1.5, "finished", 3),
    Run("dpo-8b", 1, 6, 15.0, "finished", 32),
    Run("reranker-v5", 2, 12, 2.1, "finished", 41),
    Run("reranker-v6", 2, 12, 2.1, "finished", 12),
    Run("reranker-v7", 2, 7, 2.1),
    Run("distil-1b", 2, 10, 3.7, "finished", 2),
)


@dataclass(frozen=True)
class Seen:
    """A run by what is really in the bucket.

    Attributes:
        folder: Where its objects are.
        name: What people call it; its folder's name where it does not say.
        experiment: The number of its experiment; empty where it has none.
        state: What its status file or its markers say.
        promoted: Whether somebody wants it kept.
        live: Its objects.
        deleted: Its soft-deleted objects.
    """

    folder: str
    name: str
    experiment: str
    state: str
    promoted: bool
    live: tuple[Stored, ...]
    deleted: tuple[Stored, ...]


def build(storage: Storage, now: datetime) -> None:
    """Put all runs into the bucket."""
    for run in RUNS:
        end = now - timedelta(days=run.days, minutes=10)
        start = end - run.epochs * _EPOCH
        for name, content, epoch in _objects(run, start, end):
            _put(storage, run.folder + name, content, start + epoch * _EPOCH, cold=run.days > 30)
    for number, name in ((1, "sft-8b"), (2, "search")):
        _put(
            storage,
            f"mlruns/{number}/{_META}",
            f"experiment_id: '{number}'\nlifecycle_stage: active\nname: {name}\n",
            now - timedelta(days=60),
        )
    for days, done in ((4, True), (0, False)):
        at = now - timedelta(days=days, hours=2)
        evaluation: dict[str, str | int] = {
            "config.yaml": "suite: nightly\n",
            "logs/eval.log": "started\n",
            "predictions/part-000.parquet": 3 * _GIB,
        }
        for name, content in (evaluation | ({"metrics.json": '{"accuracy": 0.81}', "_SUCCESS": ""} if done else {})).items():
            _put(storage, f"runs/eval-{at:%Y-%m-%d}/{name}", content, at)


def fail(storage: Storage, folder: str) -> int:
    """The run fails, and says so; gives the generation of what says it."""
    return _says(storage, folder, "failed")


def retry(storage: Storage, folder: str) -> None:
    """The run is begun again where it stopped, writes a checkpoint more, and succeeds."""
    if _is_mlflow(folder):
        _says(storage, folder, "running")
        epochs = [int(found[1]) for each in _seen(storage, folder).live if (found := _CHECKPOINT.fullmatch(each.name.removeprefix(folder)))]
        storage.put(ARTIFACTS_BUCKET, f"{folder}artifacts/checkpoints/epoch-{max(epochs, default=0) + 1:02}.ckpt", size=15 * _GIB)
    else:
        storage.put(ARTIFACTS_BUCKET, f"{folder}predictions/part-001.parquet", size=3 * _GIB)
    _says(storage, folder, "finished")


def promote(storage: Storage, folder: str) -> None:
    """Somebody wants the run kept."""
    storage.put(ARTIFACTS_BUCKET, folder + _KEEP)


def seen(storage: Storage) -> list[Seen]:
    """Every run that has objects in the bucket, live or soft-deleted, in the order of their folders."""
    live, deleted = storage.contents(ARTIFACTS_BUCKET)
    folders: dict[str, tuple[list[Stored], list[Stored]]] = {}
    for index, objects in enumerate((live, deleted)):
        for each in objects:
            if found := _FOLDER.match(each.name):
                folders.setdefault(found[0], ([], []))[index].append(each)
    return [_run(folder, tuple(mine), tuple(gone)) for folder, (mine, gone) in sorted(folders.items())]


def _seen(storage: Storage, folder: str) -> Seen:
    return next(run for run in seen(storage) if run.folder == folder)


def _run(folder: str, live: tuple[Stored, ...], deleted: tuple[Stored, ...]) -> Seen:
    names = {each.name.removeprefix(folder): each for each in live}
    said = names[_META].data if _META in names else None
    meta = dict(re.findall(r"^(\w+): (.*)$", (said or b"").decode(errors="replace"), re.MULTILINE))
    state = next((state for marker, state in _MARKERS.items() if marker in names), "running")
    place = _FOLDER.match(folder)
    return Seen(
        folder,
        meta.get("run_name", folder.split("/")[-2]),
        (place and place["experiment"]) or "",
        _STATES.get(meta.get("status", ""), state),
        _KEEP in names,
        live,
        deleted,
    )


def _says(storage: Storage, folder: str, state: State) -> int:
    if not _is_mlflow(folder):
        return storage.put(ARTIFACTS_BUCKET, folder + next(marker for marker, means in _MARKERS.items() if means == state))
    meta = (storage.get(ARTIFACTS_BUCKET, folder + _META).data or b"").decode()
    said = re.sub(r"^status: .*$", f"status: {_STATUS[state]}", meta, flags=re.MULTILINE)
    end = "null" if state == "running" else _millis(storage.now())
    return storage.put(ARTIFACTS_BUCKET, folder + _META, re.sub(r"^end_time: .*$", f"end_time: {end}", said, flags=re.MULTILINE).encode())


def _is_mlflow(folder: str) -> bool:
    return folder.startswith("mlruns/")


def _objects(run: Run, start: datetime, end: datetime) -> Iterator[tuple[str, str | int, float]]:
    """What a run has written: the name, the content or its size, and after how many epochs."""
    yield _META, _meta(run, start, end), run.epochs
    for name, value in (_PARAMS | {"epochs": str(run.epochs)}).items():
        yield f"params/{name}", value, 0
    for name, value in {"mlflow.runName": run.name, "mlflow.user": "alex", "mlflow.source.name": "train.py"}.items():
        yield f"tags/{name}", value, 0
    for name in ("train_loss", "val_loss", "learning_rate"):
        points = [f"{_millis(start + epoch * _EPOCH)} {2.0 / (epoch + 1):.4f} {epoch}" for epoch in range(run.epochs)]
        yield f"metrics/{name}", "\n".join(points), run.epochs
    yield "artifacts/model/config.json", '{"hidden_size": 4096}', 0
    yield "artifacts/samples/prompt & Antwört #1.txt", "What is a cost watchdog?", run.epochs
    yield "artifacts/events.out.tfevents", 48 << 20, run.epochs
    for epoch in range(1, run.epochs + 1):
        yield f"artifacts/checkpoints/epoch-{epoch:02}.ckpt", int(run.gib * _GIB), epoch
    if run.promoted:
        yield _KEEP, "", run.epochs


def _meta(run: Run, start: datetime, end: datetime) -> str:
    lines = {
        "artifact_uri": f"gs://{ARTIFACTS_BUCKET}/{run.folder}artifacts",
        "end_time": "null" if run.state == "running" else _millis(end),
        "entry_point_name": "''",
        "experiment_id": f"'{run.experiment}'",
        "lifecycle_stage": "active",
        "run_id": run.id,
        "run_name": run.name,
        "run_uuid": run.id,
        "source_name": "''",
        "source_type": "4",
        "source_version": "''",
        "start_time": _millis(start),
        "status": str(_STATUS[run.state]),
        "tags": "[]",
        "user_id": "alex",
    }
    return "".join(f"{key}: {value}\n" for key, value in lines.items())


def _millis(time: datetime) -> str:
    return str(int(time.astimezone(UTC).timestamp() * 1000))


def _put(storage: Storage, name: str, content: str | int, at: datetime, *, cold: bool = False) -> None:
    if isinstance(content, int):
        storage.put(ARTIFACTS_BUCKET, name, size=content, created=at, storageClass="NEARLINE" if cold else "STANDARD")
    else:
        storage.put(ARTIFACTS_BUCKET, name, content.encode(), created=at)
