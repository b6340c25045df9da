"""Where the functions are born: a process that has loaded everything, and forks a functions-framework server each time it is asked.

It reads one line of JSON for each birth from standard input, and answers with the process id. A child leads a group of its own, so that `kill -9` reaches
the server's master and its worker, as it does where a whole container dies. Nothing of the product is replaced but the clock, and
the size of a batch of objects, so that a small run takes several.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import functions_framework
import slack_sdk.signature
from functions_framework._http import create_server

from functions import slack_action
from sandbox.cloud import ROOT
from sandbox.serve import HOST
from shared import clock as clocks
from shared.cloud.slack import SlackMessenger
from shared.objects import duty
from tests.chaos.clock import StoryClock
from tests.chaos.mutants import MUTANTS, put

_LOADED = (
    "functions.audit", "functions.deliveries", "functions.slack_desk", "functions.triggers", "functions.wiring", "google.api_core.retry", "google.cloud.pubsub_v1", "google.cloud.resourcemanager_v3", "google.cloud.run_v2",
    "google.cloud.storage", "gunicorn.app.base", "gunicorn.workers.gthread", "shared.audit.audit", "shared.cloud.buckets",
    "shared.cloud.permissions", "shared.cloud.run_services", "shared.cloud.run_worker_pools", "shared.cloud.state_bucket", "shared.cloud.tasks", "shared.digest", "shared.slack.backlog", "slack_sdk",
    "slack_sdk.webhook",
)  # fmt: skip
"""What the functions load when they need it: loaded once here, since a thousand processes would load it a thousand times."""


_BATCH = 3


def main() -> None:
    """Give birth until standard input ends."""
    for name in _LOADED:
        importlib.import_module(name)
    put(duty, BATCH=_BATCH)
    if mutant := sys.argv[1]:
        MUTANTS[mutant]()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.freeze()  # what is loaded stays shared by all children
    read, write = os.pipe()
    print("{}", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            os.close(write)
            _live(asked, read)
        print(json.dumps({"pid": child}), flush=True)


def _live(asked: dict[str, Any], orphaned: int) -> None:
    """Serve one target until the process is killed, or the one that bore it is gone."""
    try:
        os.setsid()
        threading.Thread(target=_die_with, args=(orphaned,), daemon=True).start()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for descriptor, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(descriptor, target)
        os.environ.clear()
        os.environ.update(asked["environment"])
        _set_the_clock(StoryClock(Path(asked["clock"])))
        app = functions_framework.create_app(asked["target"], str(ROOT / "main.py"), "http")
        create_server(app, debug=False).run(HOST, asked["port"])
    finally:
        traceback.print_exc()
        os._exit(1)


def _die_with(pipe: int) -> None:
    os.read(pipe, 1)  # nobody writes to it: it ends with whoever could
    os.killpg(0, signal.SIGKILL)


def _set_the_clock(clock: StoryClock) -> None:
    """Let everything in this process live in the story's time: what the product asks for, and what libraries wait by."""

    class StoryDate(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.fromtimestamp(clock.time(), tz)

    began = SlackMessenger.__init__

    def begin(self: SlackMessenger, token: str, base_url: str) -> None:
        began(self, token, base_url, sleep=clock.sleep, clock=clock.monotonic)

    put(SlackMessenger, __init__=begin)
    put(clocks, SystemClock=lambda: clock)
    put(slack_action, datetime=StoryDate)
    put(slack_sdk.signature.Clock, now=lambda _: clock.time())
    put(time, monotonic=clock.monotonic, sleep=clock.sleep)  # gRPC reckons its deadlines by `time.time`, which stays real


if __name__ == "__main__":
    main()
