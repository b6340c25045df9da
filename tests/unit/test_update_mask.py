"""Which fields an update of a Cloud Run service names, and with which values."""

from __future__ import annotations

from typing import Any

import pytest

from shared.cloud.run_services import changed_fields, update_mask
from tests.doubles import scaling

MODE, COUNT = "scaling.scaling_mode", "scaling.manual_instance_count"
MINIMUM, MAXIMUM = "scaling.min_instance_count", "scaling.max_instance_count"
OWN, NAME = "template.scaling.min_instance_count", "template.revision"


@pytest.mark.parametrize(
    ("state", "wanted", "revision", "mask"),
    [
        (scaling(minimum=2, maximum=5), scaling(minimum=2, maximum=5), "", ()),
        (scaling(minimum=2, maximum=5), scaling(minimum=2, maximum=5), "api-blue", ()),
        (scaling(minimum=2, maximum=5), scaling(minimum=0, maximum=5), "", (MINIMUM,)),
        (scaling(minimum=2, maximum=5), scaling(minimum=0, maximum=5), "api-blue", (MINIMUM,)),
        (scaling(minimum=2, maximum=5), scaling(minimum=2, maximum=9), "", (MAXIMUM,)),
        (scaling(minimum=2, maximum=5), scaling(), "", (MINIMUM, MAXIMUM)),
        (scaling(revision_minimum=1), scaling(), "", (OWN,)),
        (scaling(revision_minimum=1), scaling(), "api-blue", (OWN, NAME)),
        (scaling(minimum=2, revision_minimum=1), scaling(), "", (MINIMUM, OWN)),
        (scaling(minimum=2), scaling(mode="manual", count=0, minimum=2), "", (MODE, COUNT)),
        (scaling(), scaling(mode="manual", count=3), "", (MODE, COUNT)),
        (scaling(minimum=2, revision_minimum=1), scaling(mode="manual", count=0, minimum=2), "", (MODE, COUNT, OWN)),
        # Back to a manual service that has kept its limits: they are part of what was there.
        (scaling(maximum=4), scaling(mode="manual", count=4, minimum=1, maximum=5), "", (MODE, COUNT, MINIMUM, MAXIMUM)),
        # Minimum and maximum go together from manual to automatic, though they read as they are wanted.
        (scaling(mode="manual", count=0), scaling(), "", (MODE, MINIMUM, MAXIMUM)),
        (scaling(mode="manual", count=0), scaling(minimum=2), "", (MODE, MINIMUM, MAXIMUM)),
        (scaling(mode="manual", count=0, minimum=2, maximum=5), scaling(minimum=2, maximum=5), "", (MODE, MINIMUM, MAXIMUM)),
        (scaling(mode="manual", count=0, revision_minimum=1), scaling(minimum=2), "api-blue", (MODE, MINIMUM, MAXIMUM, OWN, NAME)),
        (scaling(mode="manual", count=3), scaling(mode="manual", count=0), "", (COUNT,)),
        (scaling(mode="manual", count=0), scaling(mode="manual", count=0), "api-blue", ()),
    ],
)
def test_what_an_update_names(state: dict[str, Any], wanted: dict[str, Any], revision: str, mask: tuple[str, ...]) -> None:
    """Exactly what differs, with what the platform wants to be given together."""
    assert update_mask(state, wanted, {"revision": revision}) == mask


def test_what_an_update_says() -> None:
    """The fields of the mask hold the wanted values, nested as in a service; an explicit revision name is emptied."""
    wanted = scaling(minimum=2, maximum=5, revision_minimum=1)
    assert changed_fields((MODE, MINIMUM, MAXIMUM, OWN, NAME), wanted) == {
        "scaling": {"scaling_mode": 1, "min_instance_count": 2, "max_instance_count": 5},
        "template": {"scaling": {"min_instance_count": 1}, "revision": ""},
    }
    assert changed_fields((MODE, COUNT), scaling(mode="manual", count=0)) == {"scaling": {"scaling_mode": 2, "manual_instance_count": 0}}
