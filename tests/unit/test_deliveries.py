"""What is posted to the functions: as Eventarc posts it, as a push subscription does, and as nobody should."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cloudevents.http import CloudEvent
from flask import Flask

from functions import deliveries
from tests.envelopes import EVENTS, body, headers, storage_attributes

APP = Flask(__name__)
POSTED = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(EVENTS.iterdir())}


def taken(data: bytes, sent: dict[str, str] | None = None, method: str = "POST") -> tuple[int, list[CloudEvent]]:
    """The answer's status, and the events that were handed on."""
    events: list[CloudEvent] = []
    with APP.test_request_context("/", method=method, data=data, headers=sent or {"content-type": "application/json"}):
        from flask import request

        answer = deliveries.taken(request, events.append)
    return answer.status_code, events


@pytest.mark.parametrize("name", [name for name, each in POSTED.items() if isinstance(each["body"], dict)])
def test_a_push_is_the_same_event_as_eventarcs(name: str) -> None:
    """Without the headers that Eventarc adds, the kind and the data are the same, whatever the message lacks."""
    posted = json.dumps(POSTED[name]["body"]).encode()
    (status, (pushed,)), (_, (event,)) = taken(posted), taken(posted, POSTED[name]["headers"])
    assert (status, pushed["type"], pushed.get_data()) == (200, event["type"], event.get_data())


def test_a_push_without_data() -> None:
    """A notification that has attributes alone is handed on with the id of its message, so that it can be refused or acted upon, and is not sent again."""
    whole = body(None, storage_attributes(payloadFormat="NONE"), message_id="17")
    status, (event,) = taken(json.dumps(whole).encode())
    assert (status, event["id"], event.get_data()) == (200, "17", whole)


@pytest.mark.parametrize("posted", [b"", b"{", b"[" * 100_000, b"\xff", b"7", b'{"message": 7}', b'{"message": {"messageId": {}}}'])
@pytest.mark.parametrize("sent", [None, headers()], ids=["push", "event"])
def test_what_is_no_message_is_handed_on_all_the_same(posted: bytes, sent: dict[str, str] | None) -> None:
    """It is for the trigger to refuse it by its kind, and to say so."""
    status, events = taken(posted, sent)
    assert (status, len(events)) == (200, 1)


def test_an_event_in_one_piece() -> None:
    """The structured form of a CloudEvent is one too."""
    whole = {"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data_base64": base64.b64encode(b"x").decode()}
    status, (event,) = taken(json.dumps(whole).encode(), {"content-type": "application/cloudevents+json"})
    assert (status, event["type"], event.get_data()) == (200, "t", b"x")


@pytest.mark.parametrize("attribute", ["specversion", "type", "source", "id", "time", "subject", "datacontenttype", "data_base64"])
@pytest.mark.parametrize("wrong", [None, 5, 1.5, True, ["a"], {"a": "b"}, ""])
def test_an_event_in_one_piece_with_an_attribute_of_another_type(attribute: str, wrong: object) -> None:
    """JSON lets each attribute be anything; the event is handed on, for the trigger to refuse."""
    whole = {"specversion": "1.0", "id": "1", "source": "s", "type": "t", "time": "2026-11-20T12:00:00Z", "data": {}, attribute: wrong}
    status, events = taken(json.dumps(whole).encode(), {"content-type": "application/cloudevents+json"})
    assert (status, len(events)) == (200, 1)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_only_posts_are_events(method: str) -> None:
    """Whoever looks at the address starts nothing."""
    assert taken(b"", method=method) == (405, [])


def test_what_the_trigger_raises_is_raised() -> None:
    """So the message comes again."""

    def broken(_: Any) -> None:
        raise ConnectionError

    with APP.test_request_context("/", method="POST", data=b"{}"):
        from flask import request

        with pytest.raises(ConnectionError):
            deliveries.taken(request, broken)
