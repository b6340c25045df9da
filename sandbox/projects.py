"""Projects: the Resource Manager and Cloud Billing over gRPC, as far as an audit asks them.

https://cloud.google.com/resource-manager/reference/rpc/google.cloud.resourcemanager.v3
https://cloud.google.com/billing/docs/reference/rpc/google.cloud.billing.v1
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.cloud import billing_v1, resourcemanager_v3
from google.iam.v1 import iam_policy_pb2

from sandbox.faults import Faults
from sandbox.grpc_errors import RefusedError, invalid, unary

_AT_ONCE = 100
# What may be asked about a project: permissions of services whose resources lie in projects. Billing's lie on billing accounts.
_ON_PROJECTS = re.compile(r"(cloudfunctions|iam|monitoring|pubsub|resourcemanager|run|storage)\.[a-zA-Z]+\.[a-zA-Z]+")
_NEVER_ON_PROJECTS = re.compile(r"storage\.objects\..*")


@dataclass
class _Project:
    number: str
    billing_account: str
    lacking: set[str] = field(default_factory=set)


class Projects:
    """The projects that there are, and what their caller may do.

    Args:
        faults: Asked under ``GetProject``, ``TestIamPermissions`` and ``GetProjectBillingInfo``.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._lock = threading.Lock()
        self._projects: dict[str, _Project] = {}

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """The gRPC services ``google.cloud.resourcemanager.v3.Projects`` and ``google.cloud.billing.v1.CloudBilling``."""
        get, test, info = (
            resourcemanager_v3.GetProjectRequest,
            iam_policy_pb2.TestIamPermissionsRequest,
            billing_v1.GetProjectBillingInfoRequest,
        )
        manager = {
            "GetProject": unary(self._faults, "GetProject", get.pb(), lambda request: request.name, self._get),
            "TestIamPermissions": unary(self._faults, "TestIamPermissions", test, lambda request: request.resource, self._test),
        }
        billing = {
            "GetProjectBillingInfo": unary(self._faults, "GetProjectBillingInfo", info.pb(), lambda request: request.name, self._billing)
        }
        return [
            grpc.method_handlers_generic_handler("google.cloud.resourcemanager.v3.Projects", manager),
            grpc.method_handlers_generic_handler("google.cloud.billing.v1.CloudBilling", billing),
        ]

    def add(self, project: str, number: str, billing_account: str = "") -> None:
        """Let there be a project.

        Args:
            project: Its id.
            number: Its number.
            billing_account: Who pays for it, without ``billingAccounts/``; nobody where empty.
        """
        with self._lock:
            self._projects[project] = _Project(number, billing_account)

    def deny(self, project: str, *permissions: str) -> None:
        """Take permissions on a project away from the caller: `TestIamPermissions` tells so, and nothing else changes."""
        with self._lock:
            self._projects[project].lacking.update(permissions)

    def _get(self, request: Any, _context: Any) -> Any:
        own, project = self._find(request.name)
        return resourcemanager_v3.Project.pb()(name=f"projects/{project.number}", project_id=own, state="ACTIVE")

    def _test(self, request: Any, _context: Any) -> Any:
        _, project = self._find(request.resource)
        if len(request.permissions) > _AT_ONCE:
            raise invalid(f"{len(request.permissions)} permissions are asked about: at most {_AT_ONCE} can be at once.")
        for each in request.permissions:
            if not _ON_PROJECTS.fullmatch(each) or _NEVER_ON_PROJECTS.fullmatch(each):
                raise invalid(f"Permission {each} is not valid for this resource.")
        return iam_policy_pb2.TestIamPermissionsResponse(permissions=[each for each in request.permissions if each not in project.lacking])

    def _billing(self, request: Any, _context: Any) -> Any:
        own, project = self._find(request.name)
        account = f"billingAccounts/{project.billing_account}" if project.billing_account else ""
        return billing_v1.ProjectBillingInfo.pb()(
            name=f"projects/{own}/billingInfo", project_id=own, billing_account_name=account, billing_enabled=bool(account)
        )

    def _find(self, name: str) -> tuple[str, _Project]:
        kind, _, own = name.partition("/")
        if kind != "projects" or not own or "/" in own:
            raise invalid(f"{name!r} is no project: it has to be projects/ID.")
        with self._lock:
            for project, each in self._projects.items():
                if own in (project, each.number):
                    return project, each
        # Nobody is told whether a project exists that they may not see.
        raise RefusedError(
            grpc.StatusCode.PERMISSION_DENIED, f"The caller does not have permission on project {own}, or it does not exist."
        )
