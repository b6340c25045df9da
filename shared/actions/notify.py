"""``notify``: only say that the step was reached."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from shared.actions import Action


class Params(BaseModel):
    """Nothing to set."""

    model_config = ConfigDict(frozen=True, extra="forbid")


ACTION = Action(name="notify", params=Params)
