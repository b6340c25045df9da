"""What an app may do in Slack: the scope that each method needs, and those that an app's manifest asks for.

https://docs.slack.dev/reference/scopes
"""

from __future__ import annotations

from pathlib import Path

import yaml

from sandbox.slack_wire import SlackError

_NEEDED = {
    "chat.delete": "chat:write",
    "chat.postEphemeral": "chat:write",
    "chat.postMessage": "chat:write",
    "chat.update": "chat:write",
    "conversations.history": "channels:history",
    "conversations.info": "channels:read",
    "conversations.list": "channels:read",
    "conversations.replies": "channels:history",
    "usergroups.users.list": "usergroups:read",
}
COMMANDS = "commands"
"""The scope without which an app has no slash commands: https://docs.slack.dev/reference/scopes/commands"""
METADATA = "metadata.message:read"
"""The scope without which a bot sees no metadata of messages: https://docs.slack.dev/reference/scopes/metadata.message.read"""
EVERY_SCOPE = tuple(sorted({*_NEEDED.values(), COMMANDS, METADATA}))


class MissingScope(SlackError):
    """The token lacks the scope that the method needs.

    Attributes:
        needed: That scope.
        provided: The scopes that the token has, with commas between them.
    """

    def __init__(self, needed: str, provided: str) -> None:
        super().__init__("missing_scope")
        self.needed = needed
        self.provided = provided


def allow(method: str, scopes: tuple[str, ...]) -> None:
    """Make sure that an app with these scopes may call a method.

    Raises:
        MissingScope: It may not.
    """
    needed = _NEEDED.get(method)
    if needed is not None and needed not in scopes:
        raise MissingScope(needed, ",".join(scopes))


def scopes_of(manifest: Path) -> tuple[str, ...] | None:
    """The scopes that an app's manifest asks for its bot: none if there is no such file, which limits nothing.

    https://docs.slack.dev/reference/app-manifest

    Raises:
        ValueError: The file has no list at ``oauth_config.scopes.bot``.
    """
    if not manifest.exists():
        return None
    value = yaml.safe_load(manifest.read_text(encoding="utf-8"))
    for key in ("oauth_config", "scopes", "bot"):
        value = value.get(key) if isinstance(value, dict) else None
    if not isinstance(value, list):
        raise ValueError(f"{manifest} has no list of scopes at oauth_config.scopes.bot.")  # noqa: TRY004 - the file's fault, not the caller's
    return tuple(str(scope) for scope in value)
