"""Who is in the workspace: people, and the groups that they are in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.slack_wire import Arguments, SlackError

ANN, BEN = "U012AB3CD", "U0000000BEN"


class Impossible(Exception):
    """What a person cannot do in Slack at this moment; the text says why."""


@dataclass(frozen=True)
class User:
    """A person.

    Attributes:
        id: ``U012AB3CD``.
        name: As others see it.
    """

    id: str
    name: str


@dataclass(frozen=True)
class Group:
    """A user group.

    Attributes:
        handle: As it is mentioned, without ``@``.
        users: The ids of those who are in it.
    """

    handle: str
    users: tuple[str, ...]


class People:
    """The people of a workspace, and its user groups."""

    def __init__(self) -> None:
        self._users: dict[str, User] = {}
        self._groups: dict[str, Group] = {}
        self.add_user(ANN, "ann")
        self.add_user(BEN, "ben")

    def add_user(self, user_id: str, name: str) -> None:
        """Add a person, or give one another name."""
        self._users[user_id] = User(user_id, name)

    def add_usergroup(self, group_id: str, handle: str, users: Sequence[str]) -> None:
        """Add a user group, or say anew who is in it.

        Raises:
            Impossible: Somebody of these is not in the workspace.
        """
        self._groups[group_id] = Group(handle, tuple(self.user(user_id).id for user_id in users))

    def users(self) -> list[User]:
        """Everybody, in the order they were added."""
        return list(self._users.values())

    def user(self, user_id: str) -> User:
        """A person by the id.

        Raises:
            Impossible: There is nobody of this id.
        """
        if user_id not in self._users:
            raise Impossible(f"Nobody in the workspace has the id {user_id!r}; there are {', '.join(self._users)}.")
        return self._users[user_id]

    def name(self, user_id: str) -> str:
        """What somebody is called, and the id itself where it is nobody's."""
        return self._users[user_id].name if user_id in self._users else user_id

    def usergroups_users_list(self, arguments: Arguments) -> dict[str, Any]:
        """https://docs.slack.dev/reference/methods/usergroups.users.list."""
        group = arguments.required("usergroup")
        if group not in self._groups:
            raise SlackError("no_such_subteam")
        return {"users": list(self._groups[group].users)}
