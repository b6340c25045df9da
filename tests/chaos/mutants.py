"""The product broken on purpose, one promise at a time: what the chaos has to catch if it is worth anything.

Each changes the product in the process that bears the functions: `python -m tests.chaos --mutant NAME --schedules 200` ends with the first story that
catches it. From seed 1 on that was, when it was last tried:

    protects-nothing           1        marks-before-it-posts      7        deletes-what-was-overwritten  23
    deletes-promoted-runs      1        never-brakes              11        doubts-nothing                25
    looks-for-no-message       1        acknowledges-everything   15        acts-before-it-records        25
    forgets-what-is-closed     3        ignores-leases            16        writes-over-others            29
    claims-nothing             6        ignores-the-brake         12

Some of it is guarded twice, so that only a plot shows it (`tests.chaos.plots`):

- `deletes-promoted-runs`: a promotion before the last look at the objects is seen by `RunJudge` as well, as what lies in the run or is newer than its sign.
  What is left is one that comes after the worker that began the deletion has died.
- `claims-nothing`: a plan that nobody claimed is carried out all the same, and the next message of the same steps claims it. What is left is a higher step
  that is reached first: it claims the lower ones too, and nobody puts back what the unclaimed plan parked.
- `forgets-what-is-closed`: a run that was put back is known by its closed entry, whose copy is never replaced. What is left is one that was called off.
- `ignores-the-brake`: `Braking.reserve` refuses every new plan while the brake is on. What is left is work that had begun, and an entry that asks again and again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from functions import triggers
from shared import session
from shared.braking import Braking
from shared.cloud import objects
from shared.cloud.object_batch import call, segment
from shared.cloud.run_services import CloudRunServices
from shared.cloud.slack import SlackMessenger
from shared.errors import CloudError
from shared.journal import Journal
from shared.ladder import Ladder
from shared.objects.duty import RunDuty
from shared.policy.policy import Protect
from shared.session import Session
from shared.slack.outbox import Outbox


def put(owner: object, **changes: object) -> None:
    """Put something else in the place of attributes of a module or a class, which have to be there."""
    for name, change in changes.items():
        getattr(owner, name)
        setattr(owner, name, change)


def _protects_nothing() -> None:
    """The policy's `protect` is not asked."""
    put(Protect, covers=lambda *_: None)


def _ignores_leases() -> None:
    """Whoever comes works on an entry, whoever else does."""
    begin: Any = vars(Session)["open"].__func__

    def opened(cls: type[Session], journal: Any, clock: Any, owner: str, kept: Any) -> Session | None:
        found: Session | None = begin(cls, journal, clock, owner, replace(kept, record=kept.record.but(lease=None)))
        return found

    put(Session, open=classmethod(opened))


def _marks_before_it_posts() -> None:
    """A message is marked as sent, and then sent."""
    send = Outbox._send

    def sent(self: Outbox, message: Any) -> Any:
        self._put(message.but(sent_at=self.world.clock.now()))
        self.session.save()
        return send(self, message)

    put(Outbox, _send=sent)


def _looks_for_no_message() -> None:
    """A message is sent again without a look for the first."""
    put(SlackMessenger, find=lambda *_, **__: None)


def _acts_before_it_records() -> None:
    """What is about to be changed is not saved first."""
    save = Session.save
    put(Session, save=lambda self, *, confirm=False: None if confirm else save(self))


def _doubts_nothing() -> None:
    """What a dead worker may have written is taken for not written."""
    put(session, doubted=lambda entry: entry)


def _writes_over_others() -> None:
    """A service is written to whatever became of it since it was read."""
    write = CloudRunServices.write
    put(CloudRunServices, write=lambda self, resource, wanted, *, timeout: write(self, replace(resource, etag=""), wanted, timeout=timeout))


def _forgets_what_is_closed() -> None:
    """An event that comes again begins anew."""
    put(Journal, was_closed=lambda *_: False)


def _acknowledges_everything() -> None:
    """Nothing is delivered again."""
    settle = triggers._settle

    def settled(*given: Any, **more: Any) -> None:
        try:
            settle(*given, **more)
        except CloudError:
            return

    put(triggers, _settle=settled)


def _deletes_promoted_runs() -> None:
    """What the policy names under `unless` is not asked for before a deletion."""
    check = RunDuty.check

    def checked(self: RunDuty) -> Any:
        return check(replace(self, rule=self.rule.model_copy(update={"unless": ()})))

    put(RunDuty, check=checked)


def _deletes_what_was_overwritten() -> None:
    """An object is deleted whatever its generation is now."""
    put(objects, _deletion=lambda folder, each: call("DELETE", f"{folder}{segment(each.name)}"))


def _claims_nothing() -> None:
    """The steps of an entry are not written down as taken."""
    put(Ladder, sure_of_claim=lambda *_: True)


def _never_brakes() -> None:
    """No change is counted, so that the brake never goes on."""
    put(Braking, reserve=lambda *_: True)


def _ignores_the_brake() -> None:
    """What is under way goes on while the brake is on."""
    put(Braking, on=lambda *_: False)


MUTANTS: dict[str, Callable[[], None]] = {
    each.__name__.strip("_").replace("_", "-"): each
    for each in (
        _protects_nothing, _ignores_leases, _marks_before_it_posts, _looks_for_no_message, _acts_before_it_records, _doubts_nothing, _writes_over_others,
        _forgets_what_is_closed, _acknowledges_everything, _deletes_promoted_runs, _deletes_what_was_overwritten, _claims_nothing,
        _never_brakes, _ignores_the_brake,
    )
}  # fmt: skip
"""By name."""
