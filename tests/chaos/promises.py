"""What has to be true of a story, judged by effect: by what was done to services and objects, and by what stands in Slack.

The journal's word counts for nothing here, but for two questions that only it can answer: whether anything was left open, and whether all that it holds
to be told stands in Slack.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sandbox.cloud import STATE_BUCKET
from sandbox.storage_state import Stored
from shared.slack import panel
from tests.chaos import brakes
from tests.chaos.brakes import ON_ITS_WAY
from tests.chaos.play import Play
from tests.chaos.schedule import SERVICES
from tests.chaos.world import NEVER, State, Write, pressable, reference, said, warm

GROUP = ("manual", "count", "minimum", "maximum")
"""What is put back together, or left together, where manual scaling is involved."""
_LATE = "told with others, late"
_HALF = re.compile(r"left alone|LEFT ALONE|deleted [\d,]+ of|put back|NOT DELETED")
"""What a message says of a run that was not deleted as a whole."""
_OURS = re.compile(r"shared\.errors\.(Unavailable|Conflict): ")
_WORTH = {"notify": 0, "idle": 1, "stopped": 2}


@dataclass
class Judge:
    """What is found wrong with a story.

    Attributes:
        play: The story.
        wrong: A sentence for each promise that was broken.
    """

    play: Play
    wrong: list[str] = field(default_factory=list)
    _deleted: dict[str, list[Stored]] = field(default_factory=dict)

    # throughout

    def throughout(self) -> None:
        """What may never happen, asked of all that was seen."""
        world = self.play.world
        self.wrong += self.play.faults
        self.wrong += [
            f"{_short(each.name)}, which is protected, was written to" for each in world.writes if each.ours and _short(each.name) in NEVER
        ]
        self.wrong += [
            f"{_short(each.name)} was written to, and nothing changed" for each in world.writes if each.ours and each.before == each.after
        ]
        self.wrong += self._deletions()
        self.wrong += brakes.broken(self.play)
        told = Counter(reference(message) for message in world.messages())
        self.wrong += [f"{name} was posted {count} times" for name, count in told.items() if name and count > 1]
        self.wrong += self._log()

    def _deletions(self) -> Iterator[str]:
        """Each deletion by what lay in the bucket then: the run has failed, and nothing speaks for it."""
        twice = Counter((each.object.name, each.object.generation) for each in self.play.world.deletions)
        yield from (f"{name}#{generation} was deleted {count} times" for (name, generation), count in twice.items() if count > 1)
        listed = self._listed()
        wait = 3600.0 if self.play.schedule.run_wait == "1h" else 0.0
        signs: dict[str, Stored] = {}
        called_off = self._called_off()
        for each in self.play.world.deletions:
            found = re.match(r"runs/[^/]+/", each.object.name)
            if not found:
                yield f"{each.object.name}, which belongs to no run, was deleted"
                continue
            folder, what = found[0], f"{each.object.name} was deleted"
            sign = each.beside.get(f"{folder}_FAILED") or signs.get(folder)
            if sign is None:
                yield f"{what}, and the run has not failed"
                continue
            signs[folder] = sign
            if each.object.created > sign.created:
                yield f"{what}, which is newer than the sign"
            if each.object.name.startswith(f"{folder}logs/"):
                yield f"{what}, which the policy keeps"
            if (each.object.extra or {}).get("temporaryHold"):
                yield f"{what}, which somebody holds"
            now = self.play.world.clock.right() - self.play.world.clock.monotonic() + each.at
            promoted = each.beside.get(f"{folder}_SUCCESS")
            seen = each.since - each.at + now  # whoever deletes looks before each portion, and no run here has two
            if promoted and promoted.created.timestamp() < min(seen, now - ON_ITS_WAY):
                yield f"{what} after the run was promoted"
            if now > called_off.get((folder, sign.generation), now):
                yield f"{what} after that was called off"
            if now - sign.created.timestamp() < wait - 120 and not self._asked(panel.APPROVE, runs=True):
                yield f"{what} before its wait was over"
            if (each.object.name, each.object.generation) not in listed:
                yield f"{what}, and stands in no manifest"

    def _called_off(self) -> dict[tuple[str, int], float]:
        """The runs of which it was said that their deletion is called off, each with the generation of its sign, and when."""
        told = [
            message for message in self.play.world.messages() if ": called off" in message["text"] and reference(message).startswith("run-")
        ]
        return {(f"runs/{run}/", int(sign)): float(message["ts"]) for message in told for run, sign in [_run_of(reference(message))]}

    def _log(self) -> Iterator[str]:
        """What the functions themselves take for a fault in their code, and whatever was raised that is none of the documented errors."""
        for line in self.play.world.targets.log.read_text(encoding="utf-8", errors="replace").splitlines():
            if "a fault in the watchdog" in line or "cannot be read" in line or "damaged" in line:
                yield f"the log says: {line[:1500]}"
            elif "Traceback" in line and not _OURS.search(line):
                yield f"the log says: {line[-1500:]}"

    # at the end of the budget's period

    def at_the_end_of_the_period(self) -> None:
        """Every step that is due was carried out once, and was told."""
        for name, env in SERVICES.items():
            self.wrong += self._parked(self.play.world.full_name(name), env)
        for run in self.play.failed:
            self.wrong += self._gone(run)

    def _parked(self, name: str, env: str) -> Iterator[str]:
        steps = [step for step in self.play.schedule.steps if step.at <= self.play.spent.get(step.budget, 0) and step.means(env)]
        mine = [write for write in self.play.world.writes if write.name == name]
        parks = [write for write in mine if write.ours and write.parks]
        theirs = [write for write in mine if not write.ours]
        asked = self._asked(panel.RESTORE, panel.RESTORE_ONE, panel.HOLD, panel.CANCEL)
        # A higher step parks again what a person had put back. A deployment between a write and its confirmation counts as one before both.
        if len(parks) > (len(steps) if asked or theirs else len({step.to for step in steps})) + len(theirs):
            yield f"{_short(name)} was parked {len(parks)} times by {len(steps)} steps"
        if not steps and [write for write in mine if write.ours]:
            yield f"{_short(name)} was written to, and no step that was reached means it"
        for write in parks:
            if not any(_short(name) in said(message) for message in self.play.world.messages()):
                yield f"{_short(name)} was parked at {write.at:.0f} s, and nobody was told"
        due = [step for step in steps if "approve" not in step.gate]
        if due and not asked and not theirs:
            live, strongest = self.play.world.live[name], max(due, key=lambda step: _WORTH[step.to]).to
            idle = live["manual"] and live["count"] == 0 if strongest == "stopped" else warm(live) <= 1 and live["count"] in (None, 0)
            if not idle and not any(write.parks for write in mine):
                yield f"{_short(name)} should be {strongest}, is {live}, and was never parked"
            elif not idle:
                yield f"{_short(name)} should be {strongest} and is {live}"

    def _gone(self, run: str) -> Iterator[str]:
        """A run that failed and that nobody touched is gone; one that somebody touched is whole or gone, or it was said why not."""
        world, folder = self.play.world, f"runs/{run}/"
        there = [name for name in world.objects() if name.startswith(folder) and not name.startswith(f"{folder}logs/")]
        deleted = [each for each in world.deletions if each.object.name.startswith(folder)]
        self._deleted[run] = [each.object for each in deleted]
        about = [message for message in world.messages() if folder in said(message) or re.search(rf"\b[Rr]un {run}\b", said(message))]
        if not self.play.touched.get(run) and not self._asked(panel.RESTORE, panel.CANCEL, runs=True):
            if there:
                yield f"the run {run} failed, nobody touched it, and {sorted(there)} are still there"
            if not about:
                yield f"the run {run} was deleted, and nobody was told"
        if deleted and not any(float(message["ts"]) >= self._ts(deleted[0].at) for message in about):
            yield f"{len(deleted)} objects of the run {run} were deleted, and nobody was told"
        if deleted:
            before, live = deleted[-1].beside, world.objects()
            half = [name for name in there if name in before and before[name].generation == live[name].generation]
            if half and not any(_HALF.search(said(message)) for message in about):
                yield f"of the run {run} {len(deleted)} objects were deleted and {half} were not, and nobody was told so"

    def _ts(self, at: float) -> float:
        """The timestamp that a message of that time has, by a clock that was never set."""
        return self.play.world.clock.right() - self.play.world.clock.monotonic() + at - 120

    # what was deleted, put back

    def after_the_undo(self) -> None:
        """Each object of a run whose button was pressed is there again as it was; what was told with others in one late message has no button."""
        live = self.play.world.objects()
        for run, objects in self._deleted.items():
            if self.play.touched.get(run) or run not in self.play.undone:
                continue
            for each in objects:
                found = live.get(each.name)
                if found is None or (found.crc32c, found.size, found.metadata) != (each.crc32c, each.size, each.metadata):
                    self.wrong.append(f"{each.name} was deleted and not put back as it was: {found}")
        again = [each.object.name for each in self.play.world.deletions[self.play.deleted_before_the_undo :]]
        self.wrong += [f"{name} was deleted again after it had been put back" for name in again if name.split("/")[1] in self.play.undone]

    # in the next period

    def in_the_next_period(self) -> None:
        """Everything is as it was, but for what other people changed; nothing is open, and all that was to be told stands in Slack."""
        for name, before in self.play.world.original.items():
            self.wrong += self._as_before(name, before)
        self.wrong += self._told()
        offered = {element["action_id"] for _, _, element in pressable(self.play.world.messages())}
        if offered & {panel.RESTORE_ONE, panel.HOLD}:
            self.wrong.append(f"nothing is parked any more, and Slack still offers {sorted(offered)}")

    def _as_before(self, name: str, before: State) -> Iterator[str]:
        live, mine = self.play.world.live.get(name, {}), [write for write in self.play.world.writes if write.name == name]
        if not live:
            return
        first = next((index for index, write in enumerate(mine) if write.ours), len(mine))
        expected, late = dict(before), [write for write in mine[first:] if not write.ours]
        for write in mine[:first]:
            expected = dict(write.after)
        grouped = any(state.get("manual") for write in mine for state in (write.before, write.after))
        for key, value in expected.items():
            allowed = [value, *(write.after[key] for write in late if write.after and write.after[key] != write.before[key])]
            if grouped and key in GROUP and any(_changed(write) & {*GROUP} for write in late):
                continue
            if live[key] not in allowed:
                yield f"{_short(name)} was put back with {key} {live[key]}, and should have {' or '.join(map(str, allowed))}"
        yield from self._overwritten(name, mine, live, grouped=grouped)

    def _overwritten(self, name: str, mine: list[Write], live: State, *, grouped: bool) -> Iterator[str]:
        """What somebody changed after the watchdog parked it for the last time is theirs."""
        last = max((index for index, write in enumerate(mine) if write.ours and write.parks), default=len(mine))
        for write in mine[last:]:
            if write.ours or not write.after:
                continue
            for key in _changed(write):
                theirs = [each.after[key] for each in mine[last:] if not each.ours and each.after]
                if live[key] not in theirs and not (grouped and key in GROUP):
                    yield f"{_short(name)}: somebody else's {key} {write.after[key]} was overwritten with {live[key]}"

    def _told(self) -> Iterator[str]:
        posted = {reference(message) for message in self.play.world.messages()}
        late = [said(message) for message in self.play.world.messages() if reference(message).startswith("notice-late-")]
        for name, entry in self._entries():
            for message in entry.get("messages", []):
                if message["id"] in posted:
                    continue
                if message.get("error") != _LATE:
                    yield f"the message {message['id']} stands nowhere in Slack: {message.get('text', '')[:200]}"
                elif not any(_core(message["text"]) in text for text in late):
                    yield f"the message {message['id']} was to be told with others, and was not: {message['text'][:200]}"
            stage = (entry.get("job") or {}).get("stage")
            if stage in ("planning", "working") and self.play.world.braked:
                continue  # it waits for a person
            if name.startswith("entries/") and stage not in ("refused", "done"):
                yield f"{name} is still open: {json.dumps(entry)[:1500]}"
        names = [each.name for each in self.play.world.sandbox.storage.contents(STATE_BUCKET)[0]]
        yield from (f"{name} was never answered" for name in names if name.startswith("requests/"))
        answers = [each for each in self.play.world.sandbox.slack.ephemerals if "One moment" not in each["text"]]
        given_up = self.play.world.targets.log.read_text(encoding="utf-8", errors="replace").count(
            "is not answered: nobody waits for that any more"
        )
        if len(answers) + given_up < self.play.acknowledged:
            yield f"{self.play.acknowledged} requests of people were acknowledged, and {len(answers)} were answered: {answers}"

    # how

    def _asked(self, *actions: str, runs: bool = False) -> bool:
        """Whether a person asked for any of these, about runs or about anything else."""
        return any(action in actions and block.startswith(f"{panel.ENTRY}run-") == runs for action, block in self.play.pressed)

    def _entries(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for each in self.play.world.sandbox.storage.contents(STATE_BUCKET)[0]:
            if each.name.startswith(("entries/", "closed/")):
                yield each.name, json.loads(each.data or b"{}")

    def _listed(self) -> set[tuple[str, int]]:
        """All objects that stand in a manifest."""
        contents = self.play.world.sandbox.storage.contents(STATE_BUCKET)
        stored = [each.data or b"" for shelf in contents for each in shelf if each.name.startswith("manifests/")]
        lines = (json.loads(line) for data in stored for line in gzip.decompress(data).splitlines())
        return {(line["name"], int(line["generation"])) for line in lines}


def _run_of(reference: str) -> list[str]:
    """The run that a message is about, and the generation of its sign."""
    return reference.rsplit("/", 1)[0].split("-")[-2:]


def _short(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def _changed(write: Write) -> set[str]:
    return {key for key, value in write.after.items() if value != write.before.get(key)}


def _core(text: str) -> str:
    """A stretch of a message's first line that nothing is cut from or escaped in."""
    return max(re.split(r"[^\w ]+", text.split("\n", 1)[0]), key=len).strip()[:30]
