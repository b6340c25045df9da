"""The same from a terminal: ``python -m functions --help``."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from functions import audit_command, logs, wiring
from shared import report
from shared.actions import params_by_name
from shared.audit.simulate import simulate
from shared.audit.text import planned
from shared.brake import MEANS
from shared.by_hand import ByHand
from shared.errors import JournalError, SettingsError, WatchdogError
from shared.policy.fields import Share
from shared.policy.policy import parse, schema
from shared.report import jobs as report_jobs
from shared.report.brake import GOES_ON
from shared.slack.text import plural
from shared.watchdog import Outcome

SAID = {
    "busy": "recorded; somebody works on it now, and it is carried on within about two minutes",
    "carried on": "done as far as it goes now; see `python -m functions show KEY`",
    "closed": "done; nothing of it is left to do",
    "unfinished": "begun; the rest goes on by itself",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 when it was done, 1 when it was not (see `functions.audit_command` for an audit), 130 when it was broken off. A command that is not understood ends the process with 2.
    """
    parser = _parser()
    asked = parser.parse_args(arguments)
    logs.configure_terminal()
    try:
        status = int(asked.run(asked))
        sys.stdout.flush()
        return status
    except WatchdogError as error:
        _complain(error)
        return int(getattr(asked, "failed", 1))
    except KeyboardInterrupt:
        print("stopped; what the journal records as asked for is carried on by the functions", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read the output has seen enough; see https://docs.python.org/3/library/signal.html#note-on-sigpipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m functions", description="Cost Watchdog from a terminal. The environment is that of the functions."
    )
    parser.add_argument("--by", default=f"{_user()} (terminal)", help="who asks, as others will be told")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    policy = commands.add_parser("policy", help="check a policy file, or print its JSON Schema for editors").add_subparsers(
        required=True, metavar="WHAT"
    )
    check = policy.add_parser("check", help="name every fault of a policy file, each with its line")
    check.add_argument("file", type=Path)
    check.set_defaults(run=_policy_check)
    policy.add_parser("schema", help="print the JSON Schema").set_defaults(run=_policy_schema)

    plan = commands.add_parser("plan", help="show what would be done at such a spend; changes nothing")
    plan.add_argument("--budget", required=True, help="the budget's name or id, as in the policy")
    plan.add_argument("--at", required=True, type=_share, metavar="SHARE", help="how much of it is spent, for example 100%%")
    plan.add_argument("--forecast", action="store_true", help="the share is forecast and not spent yet")
    plan.set_defaults(run=_plan)

    audit_command.add_to(commands, _share, _instant)
    commands.add_parser("list", help="list the open entries of the journal").set_defaults(run=_list)
    show = commands.add_parser("show", help="show one entry: every resource, its state and the reason")
    show.add_argument("entry")
    show.set_defaults(run=_show)

    restore = commands.add_parser("restore", help="put back what was parked or deleted")
    what = restore.add_mutually_exclusive_group(required=True)
    what.add_argument("--entry", metavar="KEY", help="everything that this entry parked or deleted")
    what.add_argument("--service", metavar="NAME", help="one resource, by its short or its full name")
    what.add_argument("--all", action="store_true", help="everything that is parked")
    restore.set_defaults(run=_restore)

    approve = commands.add_parser("approve", help="say yes to the steps of an entry that wait for it")
    approve.add_argument("entry")
    approve.set_defaults(run=lambda asked: _print_outcomes([_by_hand(asked).approve(asked.entry)]))
    cancel = commands.add_parser("cancel", help="call off the steps of an entry that have not been carried out")
    cancel.add_argument("entry")
    cancel.set_defaults(run=lambda asked: _print_outcomes([_by_hand(asked).cancel(asked.entry)]))

    hold = commands.add_parser("hold", help="protect a resource for a time")
    hold.add_argument("service", metavar="NAME", help="its short or its full name")
    hold.add_argument("--until", required=True, type=_instant, metavar="TIME", help="for example 2026-12-01T00:00Z")
    hold.set_defaults(run=_hold)
    commands.add_parser("release", help="let the watchdog go on after it has stopped itself").set_defaults(run=_release)
    return parser


def _by_hand(asked: argparse.Namespace) -> ByHand:
    return ByHand(wiring.watchdog(), asked.by)


def _policy_check(asked: argparse.Namespace) -> int:
    try:
        text = asked.file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError([f"{asked.file}: cannot be read: {error}"]) from error
    policy = parse(text, source=str(asked.file), actions=params_by_name())
    counted = (
        plural(len(policy.budgets), "budget"),
        plural(sum(len(rule.steps) for rule in policy.budgets), "step"),
        plural(len(policy.artifacts), "artifact rule"),
        f"mode {policy.mode}",
    )
    print(f"{asked.file}: no faults: {', '.join(counted)}")
    return 0


def _policy_schema(_: argparse.Namespace) -> int:
    print(json.dumps(schema(params_by_name()), indent=2))
    return 0


def _plan(asked: argparse.Namespace) -> int:
    told = simulate(wiring.watchdog(), budget=asked.budget, share=asked.at, basis="forecast" if asked.forecast else "actual")
    print("\n".join(planned(told)))
    return 0


def _list(asked: argparse.Namespace) -> int:
    survey = _by_hand(asked).survey()
    shown = [entry for entry in survey.entries if not (entry.job and entry.job.parent)]
    for entry in shown:
        steps = ", ".join(f"{step.key} {step.state}" for step in entry.steps) or "a notice"
        print(report_jobs.line(entry) if entry.job else f"{logs.shown(entry.key)}  {len(entry.parked())} parked, {logs.shown(steps)}")
    if not survey.entries and not survey.faults:
        print("nothing is parked, and nothing waits")
    brake = wiring.watchdog().journal.brake()
    for stop in brake.record.stops if brake else ():
        print(f"the brake is on since {stop.at:%Y-%m-%d %H:%M} UTC: {MEANS[stop.kind]} until: python -m functions release")
    return _print_unreadable(survey.faults)


def _show(asked: argparse.Namespace) -> int:
    entry = _by_hand(asked).entry(asked.entry)
    print("\n".join(report_jobs.job_text(entry)) if entry.job else report.outcome_text(entry))
    return 0


def _restore(asked: argparse.Namespace) -> int:
    by_hand = _by_hand(asked)
    if asked.entry:
        outcomes = by_hand.restore_entry(asked.entry)
    else:
        outcomes = by_hand.restore_all() if asked.all else by_hand.restore_resource(asked.service)
    unreadable = () if asked.entry else by_hand.survey().faults
    if outcomes or not unreadable:
        _print_outcomes(outcomes)
    tried = [by_hand.entry(outcome.entry) for outcome in outcomes if outcome.what != "busy"]
    failed = sum(target.status == "restoring" for entry in tried for target in entry.targets)
    if failed:
        print(f"not put back yet: {failed}; the state from before is kept, and the next ticks try again", file=sys.stderr)
    lost = [entry for entry in tried if entry.job and (entry.job.stage == "undoing" or any(portion.lost for portion in entry.job.portions))]
    for entry in lost:
        print("\n".join(report_jobs.job_text(entry)), file=sys.stderr)
    return max(_print_unreadable(unreadable), 1 if failed or lost else 0)


def _print_unreadable(faults: Sequence[JournalError]) -> int:
    for fault in faults:
        _complain(fault)
    return 1 if faults else 0


def _complain(error: WatchdogError) -> None:
    """Say what is wrong, in lines that a terminal shows and does not obey, whatever names they hold."""
    print("\n".join(map(logs.shown, str(error).split("\n"))), file=sys.stderr)


def _hold(asked: argparse.Namespace) -> int:
    by_hand = _by_hand(asked)
    by_hand.hold(asked.service, asked.until)
    if asked.until > by_hand.watchdog.world.clock.now():
        print(f"{asked.service} is not touched until {asked.until:%Y-%m-%d %H:%M} UTC")
        if not by_hand.sees(asked.service):
            print(f"nothing called {asked.service} is seen in the policy's projects and regions; is the name right?", file=sys.stderr)
    else:
        print(f"{asked.service} is no longer held")
    return 0


def _release(asked: argparse.Namespace) -> int:
    _by_hand(asked).release()
    print(f"the brake is released. {GOES_ON}")
    return 0


def _print_outcomes(outcomes: Sequence[Outcome]) -> int:
    for outcome in outcomes:
        print(f"{logs.shown(outcome.entry)}: {SAID.get(outcome.what, outcome.what)}")
    if not outcomes:
        print("nothing is parked")
    return 0


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a user without a name
        return "somebody"


def _share(text: str) -> Decimal:
    try:
        return TypeAdapter[Decimal](Share).validate_python(text)
    except ValidationError as error:
        raise argparse.ArgumentTypeError(error.errors(include_url=False)[0]["msg"]) from error


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo:
            return instant.astimezone(UTC)
    except (ValueError, OverflowError) as error:  # in UTC it may lie outside of the calendar
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write for example 2026-12-01T00:00Z") from error
    raise argparse.ArgumentTypeError(f"{text!r} names no time zone; write for example 2026-12-01T00:00Z")


if __name__ == "__main__":
    sys.exit(main())
