"""What Slack posts, decoded; and everything else, refused."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import EventRejected
from shared.slack.conversation import Request
from shared.slack.forms import decode

CAME = datetime(2026, 11, 20, 12, tzinfo=UTC)
ADDRESS = "https://hooks.slack.com/actions/T1/2/3"
PRESS: dict[str, Any] = {
    "type": "block_actions",
    "user": {"id": "U012AB3CD", "username": "ann", "team_id": "T1"},
    "channel": {"id": "C0000000001", "name": "ml-cost"},
    "response_url": ADDRESS,
    "actions": [{"action_id": "approve", "block_id": "entry:budget-20261101-actual-80-3f9c2a71b0", "type": "button", "value": ""}],
}
COMMAND = {"command": "/cost-watchdog", "text": "status", "user_id": "U012AB3CD", "user_name": "ann", "channel_id": "C0000000001", "channel_name": "ml-cost", "response_url": ADDRESS}  # fmt: skip


def pressed(**changes: Any) -> bytes:
    """A press with some of its payload changed; what is None is left out."""
    payload = {name: value for name, value in (PRESS | changes).items() if value is not None}
    return urlencode({"payload": json.dumps(payload)}).encode()


def acted(**changes: Any) -> bytes:
    """A press with some of its action changed."""
    return pressed(actions=[PRESS["actions"][0] | changes])


def decoded(body: bytes) -> Request:
    """The request."""
    return decode(body, key="k", came=CAME)


def test_a_press() -> None:
    """Who pressed what about what, and where the answer goes."""
    assert decoded(pressed()) == Request(
        key="k", kind="press", came=CAME, what="approve", about="entry:budget-20261101-actual-80-3f9c2a71b0", user="U012AB3CD", user_name="ann",
        channel="C0000000001", channel_name="ml-cost", address=ADDRESS,
    )  # fmt: skip


def test_a_choice_from_a_menu() -> None:
    """The value is that of the option."""
    assert decoded(acted(action_id="hold", selected_option={"value": "4h", "text": {}}, value=None)).value == "4h"
    assert decoded(acted(block_id="thread:01D4EE-079462-DFD6EC/5a3c-1/20261101", value="x")).about.startswith("thread:")


def test_a_command() -> None:
    """The text is kept as it is, for as long as it is short."""
    request = decoded(urlencode(COMMAND | {"text": "hold " + "x" * 1000}).encode())
    assert (request.kind, len(request.what), request.user, request.about) == ("command", 500, "U012AB3CD", "")
    assert decoded(urlencode(COMMAND | {"user_name": ""}).encode()).by == "Slack U012AB3CD"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"payload",
        b"payload=%7B",
        b"payload=[]",
        b"payload=1",
        b"payload=" + b"[" * 5000,
        b"a=b",
        urlencode({"payload": "null"}).encode(),
        pressed(type="view_submission"),
        pressed(type=None),
        pressed(actions=[]),
        pressed(actions=[1]),
        pressed(actions="approve"),
        pressed(actions=PRESS["actions"] * 2),
        pressed(user=None),
        pressed(user={"id": "../../entries"}),
        pressed(user={"id": 7}),
        pressed(channel=None),
        pressed(channel={"id": "general"}),
        acted(action_id="Approve!"),
        acted(action_id=None),
        acted(block_id="entry:../closed/x"),
        acted(block_id="thread:a/../b"),
        acted(block_id="entry:"),
        acted(block_id=None),
        acted(value=7),
        urlencode(COMMAND | {"user_id": "ann"}).encode(),
        urlencode({name: value for name, value in COMMAND.items() if name != "channel_id"}).encode(),
        urlencode([("x", "y")] * 100).encode(),
    ],
)
def test_what_slack_would_not_send(body: bytes) -> None:
    """It is refused with a sentence, and nothing else happens."""
    with pytest.raises(EventRejected) as failure:
        decoded(body)
    assert failure.value.kind == "slack-form"


def test_hostile_names_are_kept_within_bounds() -> None:
    """Halves of surrogate pairs, ten thousand characters, and mentions: no journal breaks on them, and no message means them."""
    request = decoded(pressed(user={"id": "U012AB3CD", "username": "\ud800<!channel>" + "x" * 10_000}))
    assert len(request.user_name) == 100
    Request.model_validate_json(request.model_dump_json())


_JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=20), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "id", "user", "channel", "actions", "value", "block_id", "action_id", "selected_option", "name"]), inner, max_size=4), max_leaves=12)  # fmt: skip


@given(st.dictionaries(st.sampled_from([*PRESS]), _JSON))
def test_any_payload_is_decoded_or_refused(changes: dict[str, Any]) -> None:
    """Whatever stands in place of its parts."""
    with contextlib.suppress(EventRejected):
        Request.model_validate_json(decoded(pressed(**changes)).model_dump_json())


@given(st.binary(max_size=300))
def test_any_bytes_are_decoded_or_refused(body: bytes) -> None:
    """Whatever comes."""
    with contextlib.suppress(EventRejected):
        decoded(body)
