"""What the Slack stand-in lets an app do: the scopes it was installed with, and the groups of people it may look up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from sandbox.slack_people import ANN, BEN, Impossible
from sandbox.slack_scopes import scopes_of
from tests.contract.slack_space import Space, error_of, open_slack

CALLS: dict[str, tuple[str, Callable[[WebClient, str], Any]]] = {
    "chat.postMessage": ("chat:write", lambda client, _: client.chat_postMessage(channel="ml-cost", text="x")),
    "chat.update": ("chat:write", lambda client, channel: client.chat_update(channel=channel, ts="1.000001", text="x")),
    "chat.delete": ("chat:write", lambda client, channel: client.chat_delete(channel=channel, ts="1.000001")),
    "chat.postEphemeral": ("chat:write", lambda client, channel: client.chat_postEphemeral(channel=channel, user=ANN, text="x")),
    "conversations.list": ("channels:read", lambda client, _: client.conversations_list()),
    "conversations.info": ("channels:read", lambda client, channel: client.conversations_info(channel=channel)),
    "conversations.history": ("channels:history", lambda client, channel: client.conversations_history(channel=channel)),
    "conversations.replies": ("channels:history", lambda client, channel: client.conversations_replies(channel=channel, ts="1.000001")),
    "usergroups.users.list": ("usergroups:read", lambda client, _: client.usergroups_users_list(usergroup="S0614TZR7")),
}


@pytest.mark.parametrize("method", CALLS)
def test_method_without_its_scope_is_refused(method: str) -> None:
    """The answer says which scope is needed and which ones there are; with that scope the method goes as far as it can."""
    needed, call = CALLS[method]
    others = sorted({scope for scope, _ in CALLS.values()} - {needed})
    with open_slack(scopes=others) as space:
        with pytest.raises(SlackApiError) as failure:
            call(space.client, space.channel)
        answer = failure.value.response
        assert (answer["error"], answer["needed"], answer["provided"]) == ("missing_scope", needed, ",".join(others))
    with open_slack(scopes=[needed]) as space:
        assert _error(space, call) != "missing_scope"


def test_some_methods_need_no_scope() -> None:
    """An app without any scope can test its token, which tells of its scopes, and make permalinks."""
    with open_slack(scopes=["commands", "chat:write"]) as space:
        assert space.client.auth_test().headers["x-oauth-scopes"] == "commands,chat:write"
    with open_slack(scopes=[]) as space:
        assert space.client.auth_test()["ok"]
        with pytest.raises(SlackApiError) as failure:
            space.client.chat_getPermalink(channel=space.channel, message_ts="1.000001")
        assert error_of(failure) == "message_not_found"


def test_a_wrong_token_is_said_before_a_missing_scope() -> None:
    """Whoever is not known is not told what is missing."""
    with open_slack(scopes=[]) as space:
        with pytest.raises(SlackApiError) as failure:
            WebClient(base_url=f"{space.url}/api/", token="xoxb-other").conversations_list()
        assert error_of(failure) == "invalid_auth"


def test_an_app_without_commands_has_none() -> None:
    """A slash command is not valid where the app lacks the scope for it."""
    with open_slack(scopes=["chat:write"]) as space:
        space.slack.connect(lambda _body, _headers: (200, b""))
        with pytest.raises(Impossible, match="not a valid command"):
            space.slack.command("/cost-watchdog", channel="ml-cost")


def test_a_group_is_told_by_its_people() -> None:
    """usergroups.users.list gives the ids of those who are in the group, and refuses a group that is not there."""
    with open_slack() as space:
        space.slack.add_user("U0000000CAT", "cat")
        space.slack.add_usergroup("S0614TZR7", "ml-platform", users=[ANN, "U0000000CAT"])
        assert space.client.usergroups_users_list(usergroup="S0614TZR7")["users"] == [ANN, "U0000000CAT"]
        space.slack.add_usergroup("S0614TZR7", "ml-platform", users=[BEN])
        assert space.client.usergroups_users_list(usergroup="S0614TZR7")["users"] == [BEN]
        with pytest.raises(SlackApiError) as failure:
            space.client.usergroups_users_list(usergroup="S0000000000")
        assert error_of(failure) == "no_such_subteam"
        with pytest.raises(Impossible, match="U0000000DAN"):
            space.slack.add_usergroup("S1", "others", users=["U0000000DAN"])


def test_scopes_are_read_from_the_manifest(tmp_path: Path) -> None:
    """The bot's scopes stand under oauth_config; without a file nothing is limited, and a file without them is refused."""
    manifest = tmp_path / "slack-manifest.yaml"
    assert scopes_of(manifest) is None
    manifest.write_text("oauth_config:\n  scopes:\n    bot: [chat:write, commands]\n", encoding="utf-8")
    assert scopes_of(manifest) == ("chat:write", "commands")
    manifest.write_text("oauth_config: {scopes: none}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"oauth_config\.scopes\.bot"):
        scopes_of(manifest)


def _error(space: Space, call: Callable[[WebClient, str], Any]) -> str:
    try:
        call(space.client, space.channel)
    except SlackApiError as error:
        return str(error.response["error"])
    return ""


def test_metadata_is_for_those_who_may_see_it() -> None:
    """Without the scope a history comes without it, and says nothing of that."""
    for scopes, seen in ((["chat:write", "channels:history"], False), (["chat:write", "channels:history", "metadata.message:read"], True)):
        with open_slack(scopes=scopes) as space:
            space.client.chat_postMessage(channel=space.channel, text="x", metadata={"event_type": "a", "event_payload": {"b": "c"}})
            (message,) = space.client.conversations_history(channel=space.channel, include_all_metadata=True)["messages"]
            assert ("metadata" in message) is seen
