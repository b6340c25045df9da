"""The demo's chapters about training runs that fail, held against what really is in the bucket."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sandbox import training
from sandbox.cloud import ARTIFACTS_BUCKET, STATE_BUCKET
from sandbox.page import SOMEBODY
from sandbox.scene import PATIENCE, Scene
from sandbox.slack_people import ANN
from sandbox.storage_state import Stored
from sandbox.telling import Amount, Check
from sandbox.training import DOOMED, NEIGHBOUR, PROMOTED, RETRIED
from shared.slack.text import volume

COPIES, UNDO = 10, "restore"
_WANTED = f"{DOOMED.folder}artifacts/"
_GROUPS = {
    DOOMED.folder: f"{DOOMED.name}, fails",
    RETRIED.folder: f"{RETRIED.name}, retried",
    PROMOTED.folder: f"{PROMOTED.name}, promoted",
    NEIGHBOUR.folder: "the folder beside it",
}
_OTHERS = "all other runs"

Generation = tuple[str, int]
"""An object's name and its generation."""


@dataclass(frozen=True)
class _Contents:
    """The bucket at one moment.

    Attributes:
        live: Its objects.
        deleted: Those that are soft-deleted.
    """

    live: Mapping[Generation, Stored]
    deleted: Mapping[Generation, Stored]

    def below(self, folder: str) -> frozenset[Generation]:
        """The live objects of a folder."""
        return frozenset(each for each in self.live if each[0].startswith(folder))


class RunStory:
    """What becomes of runs that fail.

    Args:
        scene: The stage.
        wait: Seconds that a failed run waits here.
    """

    def __init__(self, scene: Scene, *, wait: float) -> None:
        self._scene = scene
        self._storage = scene.sandbox.storage
        self._wait = wait
        self._before = self._contents()
        self._entry = ""
        self._notice = ""

    @property
    def chapters(self) -> tuple[Callable[[], None], ...]:
        """In their order."""
        return self._failures, self._due, self._wanted_back

    def only_the_failed(self) -> Check:
        """That nothing but the failed run's artifacts was ever deleted."""
        strays = sorted({name for name, _ in self._deletions() if not name.startswith(_WANTED)})
        return Check(f"no object outside of {_WANTED} was ever deleted", not strays, ", ".join(strays))

    # Chapters

    def _failures(self) -> None:
        self._scene.teller.chapter(
            "Three training runs fail",
            f"MLflow writes it into their meta.yaml, and Cloud Storage's notification of that comes twice. {PROMOTED.name} was promoted. {RETRIED.name} "
            f"is retried as soon as Slack is warned. In the policy a failed run waits for a day; here it is {self._wait:g} s.",
        )
        self._before = self._contents()
        for run in (PROMOTED, RETRIED, DOOMED):
            training.fail(self._storage, run.folder)
            self._notice = self._scene.sandbox.pubsub.messages(self._scene.sandbox.artifacts_topic)[-1].id
            self._scene.sandbox.pubsub.redeliver(self._notice)
        self._settle(self._scene.said(2))
        said, deleted = self._scene.told(), self._deletions()
        training.retry(self._storage, RETRIED.folder)
        self._scene.teller.note(f"{SOMEBODY} retries {RETRIED.name} right after the warning: it writes one checkpoint more, and succeeds.")
        doomed = [each for (name, _), each in self._before.live.items() if name.startswith(_WANTED)]
        amount = f"will delete {len(doomed)} objects, {volume(sum(each.size for each in doomed))}"
        self._close(
            Check("Slack was warned of two of them, once each", *self._counted(2)),
            Check(
                "the warning says what will be deleted, and how to call it off",
                all(words in said for words in (amount, "python -m functions cancel")),
            ),
            Check(
                "it says what that saves, and until when it can be undone",
                all(words in said for words in ("Saves about $", "CAN BE UNDONE until")),
            ),
            Check("nobody was bothered with the promoted one", PROMOTED.id not in said),
            Check("nothing was deleted yet", not deleted, f"{len(deleted)} deleted"),
        )

    def _due(self) -> None:
        self._scene.teller.chapter(
            "The wait is over: one run is deleted, the retried one is left alone",
            "All of it is looked at again before anything is deleted.",
        )
        before = self._before
        self._settle(self._scene.said(2), self._wait + PATIENCE)
        said, now, wanted = self._scene.told(), self._contents(), before.below(_WANTED)
        gone, come = before.live.keys() - now.live.keys(), now.live.keys() - before.live.keys()
        soft_deleted = now.deleted.keys() - before.deleted.keys()
        self._entry = found[1] if (found := re.search(r"restore --entry ([\w-]+)", said)) else ""
        others = {folder: name for folder, name in _GROUPS.items() if folder != DOOMED.folder}
        touched = [name for folder, name in others.items() if now.below(folder) != before.below(folder)]
        kept = before.below(DOOMED.folder) - wanted
        self._close(
            Check(
                f"exactly {len(wanted)} objects are gone: the artifacts of {DOOMED.name}, each in the generation that was seen",
                gone == wanted and not come,
                f"{len(gone)} gone, {len(come)} new",
            ),
            Check("all of them are soft-deleted, so they can be brought back", soft_deleted == wanted, f"{len(soft_deleted)} soft-deleted"),
            Check(
                f"the {len(kept)} objects that the policy keeps are there: meta.yaml, metrics, params, tags",
                now.below(DOOMED.folder) == kept,
            ),
            Check(
                "the retried run, the promoted one, and the folder whose name begins the same are whole", not touched, ", ".join(touched)
            ),
            Check("the manifest in the state bucket names exactly what was deleted", self._manifest() == wanted, self._entry),
            Check("Slack was told what was deleted and how to undo it", f"deleted {len(wanted)} objects" in said and bool(self._entry)),
            Check("and why the retried run was left alone", RETRIED.id in said and "meta.yaml says status: 3" in said),
            Check("Slack was told twice", *self._counted(2)),
        )

    def _wanted_back(self) -> None:
        self._scene.teller.chapter(
            "Somebody wants it back", "From the manifest, as long as the bucket's soft delete keeps the objects: here for 7 days."
        )
        before = self._before
        self._scene.press(UNDO, ANN, "ann")
        self._settle(self._scene.said(1))
        for _ in range(COPIES):
            self._scene.sandbox.pubsub.redeliver(self._notice)
        self._settle(self._closed)
        now = self._contents()
        deleted = {name: each for (name, _), each in now.deleted.items() if name.startswith(_WANTED)}
        back = {name: each for (name, _), each in now.live.items() if name.startswith(_WANTED)}
        differ = sorted(name for name, each in deleted.items() if name not in back or _content(back[name]) != _content(each))
        strays = [name for name, _ in now.live.keys() ^ before.live.keys() if not name.startswith(_WANTED)]
        self._close(
            Check(f"all {len(deleted)} objects are back, with the same content", bool(deleted) and not differ, ", ".join(differ)),
            Check("nothing else has changed", not strays and back.keys() == deleted.keys(), ", ".join(strays)),
            Check(f"{COPIES} more copies of the notification of its failure change nothing; Slack was told once", *self._counted(1)),
        )

    # What happens

    def _settle(self, true: Callable[[], bool], within: float = PATIENCE) -> None:
        def working() -> str:
            bucket = next(each for each in self._storage.snapshot() if each["name"] == ARTIFACTS_BUCKET)
            return f"{bucket['objects']} objects · {bucket['soft_deleted_objects']} soft-deleted"

        self._scene.settle(true, working, within)

    def _close(self, *checks: Check) -> None:
        self._scene.teller.rest()
        now = self._contents()
        self._scene.teller.runs(_amounts(self._before), _amounts(now))
        self._scene.close(*checks)
        self._before = now

    # What there is

    def _contents(self) -> _Contents:
        live, deleted = self._storage.contents(ARTIFACTS_BUCKET)
        return _Contents(*({(each.name, each.generation): each for each in objects} for objects in (live, deleted)))

    def _deletions(self) -> list[Generation]:
        writes = self._storage.writes
        return [
            (name, number) for _, method, bucket, name, number in writes if (method, bucket) == ("storage.objects.delete", ARTIFACTS_BUCKET)
        ]

    def _manifest(self) -> frozenset[Generation]:
        """All that the manifests of the deletion name."""
        stored = [each for each in self._storage.contents(STATE_BUCKET)[0] if each.name.startswith(f"manifests/{self._entry}/")]
        lines = [json.loads(line) for each in stored for line in gzip.decompress(each.data or b"").splitlines()]
        return frozenset((line["name"], int(line["generation"])) for line in lines)

    def _closed(self) -> bool:
        """Whether nothing of the deletion is left to do."""
        entries = [each for each in self._storage.contents(STATE_BUCKET)[0] if each.name.startswith(f"entries/{self._entry}")]
        return not entries

    def _counted(self, messages: int) -> tuple[bool, str]:
        sent = len(self._scene.sent())
        return sent == messages, f"{sent} messages"


def _amounts(contents: _Contents) -> dict[str, Amount]:
    amounts = dict.fromkeys((*_GROUPS.values(), _OTHERS), Amount())
    for objects, deleted in ((contents.live, False), (contents.deleted, True)):
        for (name, _), each in objects.items():
            group = next((words for folder, words in _GROUPS.items() if name.startswith(folder)), _OTHERS)
            amounts[group] = amounts[group].plus(each.size, deleted=deleted)
    return amounts


def _content(each: Stored) -> str:
    return json.dumps([each.size, each.crc32c, each.md5, each.storage_class, each.content_type, each.metadata])
