"""The policy: what the watchdog should do, as its owner wrote it down in one file, checked whole before any of it is used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, GetPydanticSchema, ValidationError, ValidationInfo, WithJsonSchema
from pydantic.json_schema import GenerateJsonSchema, models_json_schema
from pydantic_core import InitErrorDetails, PydanticCustomError, core_schema

from shared.errors import SettingsError
from shared.model import Basis, BudgetNotification, Resource
from shared.policy.artifacts import ArtifactRule
from shared.policy.faults import clashes, suggest, told
from shared.policy.fields import (
    Duration,
    LabelKey,
    Labels,
    LabelValue,
    Part,
    ServiceGlob,
    Share,
    above_nothing,
    at_most_all,
    longer_than_nothing,
    matching,
)
from shared.policy.select import matching_glob, matching_label
from shared.policy.text import Fault, read, show

PROTECTED = ("cost-watchdog", "protect")
"""The label, key and value, that protects a resource whatever the policy says."""
ANY_BUDGET = "*"


@dataclass(frozen=True, slots=True)
class Use:
    """An action that a step names.

    Attributes:
        name: The action's name.
        params: What the policy says to it.
    """

    name: str
    params: BaseModel


def _use(value: Any, found: ValidationInfo) -> Use:
    if isinstance(value, Use):
        return value
    if isinstance(value, str):
        return _bare(value, _action(value, found))
    if not isinstance(value, dict) or len(value) != 1:
        raise ValueError("should be the name of one action, or one name with its settings, such as {name: {key: value}}")
    ((name, params),) = value.items()
    return Use(name, _within(name, _action(name, found), params))


def _action(name: str, found: ValidationInfo) -> type[BaseModel]:
    actions: Mapping[str, type[BaseModel]] = found.context or {}
    if name not in actions:
        raise ValueError(f"unknown action {show(name)}{suggest(name, actions)}")
    return actions[name]


def _bare(name: str, params: type[BaseModel]) -> Use:
    if required := _required(params):
        raise ValueError(f"{name} needs {' and '.join(required)}; write {{{name}: {{{required[0]}: ...}}}}")
    return Use(name, params())


def _required(params: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in params.model_fields.items() if field.is_required()]


def _within(name: str, params: type[BaseModel], value: Any) -> BaseModel:
    """The parameters under their action's name; faults in them carry the name as part of where they are."""
    try:
        return params.model_validate(value)
    except ValidationError as error:
        faults = [
            InitErrorDetails(
                type=PydanticCustomError(each["type"], each["msg"], each.get("ctx")), loc=(name, *each["loc"]), input=each["input"]
            )
            for each in error.errors(include_url=False)
        ]
        raise ValidationError.from_exception_data(name, faults) from None


def _exactly_one(value: Any) -> Any:
    if value != 1 or type(value) is not int:
        raise ValueError(f"should be 1, the only version there is, not {show(value)}")
    return value


def _region(text: str) -> str:
    if text == "-" or "*" in text or "?" in text:
        raise ValueError(f"{show(text)} would mean every region, which cannot be asked for at once; name each region, such as us-central1")
    return _region_shape(text)


_region_shape = matching(r"[a-z]+(-[a-z]+)+[0-9]+", "is not a region; write one such as us-central1, without a zone's letter")
_project = matching(
    r"([a-z0-9.-]+:)?[a-z]([a-z0-9-]*[a-z0-9])?", "is not a project id; write one such as acme-ml-staging, not its number or its name"
)
_account = matching(r"[0-9A-F]{6}(-[0-9A-F]{6}){2}", "is not a billing account; write its id alone, such as 01D4EE-079462-DFD6EC")
_channel = matching(r"#[^\s#]{1,80}|[CG][A-Z0-9]{4,20}|", 'is not a channel; write "#name" or its id, such as C012AB3CD')
_approver = matching(r"[UWS][A-Z0-9]{4,20}", "is not the id of a Slack user or user group, such as U012AB3CD; names can be taken by others")
_budget = matching(r"\S(.*\S)?", "is not a budget's name or id")

Period = Annotated[Duration, AfterValidator(longer_than_nothing)]
Channel = Annotated[str, AfterValidator(_channel)]
UseField = Annotated[
    Use,
    # Pydantic shall not look into Use itself: what its parameters are depends on its name.
    GetPydanticSchema(lambda _type, _handler: core_schema.with_info_plain_validator_function(_use)),
    WithJsonSchema({}),
]


class Step(Part):
    """One rung of a budget's ladder."""

    at: Annotated[Share, AfterValidator(above_nothing)] = Field(description="The share of the budget at which the step is reached.")
    on: Basis = Field(default="actual", description="Which spend counts: what was spent, or what Google forecasts for the period.")
    do: tuple[UseField, ...] = Field(min_length=1, description="What is done: names of actions, or {name: settings}.")
    wait: Duration = Field(default=timedelta(0), description="Warn first, and act after so long; it can be cancelled meanwhile.")
    approve: bool = Field(default=False, strict=True, description="Ask in Slack, and do nothing without a yes.")

    @property
    def key(self) -> str:
        """What tells a step from the others of its budget: ``actual-0.8``."""
        return f"{self.on}-{self.at:f}"


class BudgetRule(Part):
    """What happens as the spend of one budget rises."""

    budget: Annotated[str, AfterValidator(_budget)] = Field(
        description='The budget\'s display name or its id; "*" is any budget that no other rule names.'
    )
    restore: Literal["next_period", "manual"] = Field(default="next_period", description="When what was changed is put back.")
    steps: tuple[Step, ...] = Field(min_length=1, description="The ladder, in any order.")


class Scope(Part):
    """Where the watchdog looks."""

    projects: tuple[Annotated[str, AfterValidator(_project)], ...] = Field(
        default=(), description="Project ids; the watchdog's own where absent."
    )
    regions: tuple[Annotated[str, AfterValidator(_region)], ...] = Field(
        default=(), description="Cloud Run regions, each by its name; needed as soon as a step selects services or worker pools."
    )


class Protect(Part):
    """What is never touched, whatever a step selects."""

    labels: Labels = Field(default={}, description="A resource that carries any of these labels is protected.")
    services: tuple[ServiceGlob, ...] = Field(
        default=(), description="A resource whose short name matches any of these patterns is protected."
    )

    def covers(self, resource: Resource) -> str | None:
        """Why the resource is protected, as the rest of a sentence; None where it is not."""
        label = matching_label({PROTECTED[0]: PROTECTED[1:]}, resource.labels) or matching_label(self.labels, resource.labels)
        if label:
            return f"protected by the label {label}"
        glob = matching_glob(self.services, resource.short_name)
        return None if glob is None else f"protected by its name, as protect.services has {glob!r}"


class Limits(Part):
    """How much one plan may change, and all of them together; a plan over a limit is refused whole, and reported."""

    targets: int = Field(default=200, ge=0, strict=True, description="Resources at most.")
    share: Annotated[Share, AfterValidator(at_most_all)] = Field(
        default=Decimal(1), description="The share of all resources seen; it does not count where fewer than 10 are seen."
    )
    per_hour: int = Field(
        default=400,
        ge=0,
        strict=True,
        description="Resources that all plans together change within an hour, and runs, counted apart; beyond it the brake goes on for that kind.",
    )


class SlackRules(Part):
    """Who is told, and who may say yes."""

    channel: Channel = Field(default="", description='Where messages go, such as "#ml-cost" (in quotes, since # begins a comment).')
    routes: Mapping[LabelKey, Mapping[LabelValue, Channel]] = Field(
        default={}, description="Other channels for resources that carry a label: {label: {value: channel}}."
    )
    approvers: tuple[Annotated[str, AfterValidator(_approver)], ...] = Field(
        default=(), description="Ids of the users and user groups who may change anything in Slack; where empty, anyone in the channel."
    )

    @property
    def channels(self) -> frozenset[str]:
        """All channels that are named."""
        return frozenset({self.channel, *(channel for each in self.routes.values() for channel in each.values())})

    def route(self, labels: Mapping[str, str]) -> str:
        """Where the owners of what carries these labels are told of it, by the first label that the policy names; empty where in `channel`."""
        found = next((channels[labels[key]] for key, channels in self.routes.items() if labels.get(key) in channels), "")
        return "" if found == self.channel else found


class Policy(Part):
    """The whole policy."""

    version: Annotated[Literal[1], BeforeValidator(_exactly_one)] = Field(description="The version of this format.")
    mode: Literal["observe", "enforce"] = Field(default="observe", description="observe only reports what would be done; enforce does it.")
    scope: Scope = Field(default_factory=Scope, description="Where to look.")
    protect: Protect = Field(
        default_factory=Protect, description="What is never touched; so is whatever carries the label cost-watchdog=protect."
    )
    limits: Limits = Field(default_factory=Limits, description="How much one plan may change.")
    on_drift: Literal["report", "repark"] = Field(
        default="report", description="What to do when somebody else starts again what was stopped: say so, or stop it again too."
    )
    stale_after: Period = Field(default=timedelta(hours=6), description="An older budget message may not start an action.")
    blind_after: Period = Field(default=timedelta(hours=36), description="No budget message for so long is an alarm.")
    required_labels: tuple[LabelKey, ...] = Field(default=(), description="The labels that the audit asks of every resource.")
    allowed_billing_accounts: tuple[Annotated[str, AfterValidator(_account)], ...] = Field(
        default=(), description="Messages of other billing accounts are refused; where empty, none is."
    )
    slack: SlackRules = Field(default_factory=SlackRules, description="Who is told.")
    budgets: tuple[BudgetRule, ...] = Field(default=(), description="What happens as spend rises, by budget.")
    artifacts: tuple[ArtifactRule, ...] = Field(default=(), description="What happens to the artifacts of failed runs, by bucket.")

    def rule_for(self, notification: BudgetNotification) -> BudgetRule | None:
        """The rule for a budget: by its id before its display name before ``*``; None where no rule means it."""
        return self.rule_of(notification.budget_id, notification.budget_name)

    def rule_of(self, budget_id: str, budget_name: str) -> BudgetRule | None:
        """The same for a budget by its id and its display name."""
        rules = {rule.budget: rule for rule in self.budgets}
        return next((rules[name] for name in (budget_id, budget_name, ANY_BUDGET) if name in rules), None)


def reached(rule: BudgetRule, notification: BudgetNotification) -> tuple[Step, ...]:
    """Every step at or below the level that the notification tells, the lowest first."""
    return tuple(sorted((step for step in rule.steps if step.at <= notification.level(step.on)), key=lambda step: (step.at, step.on)))


def parse(text: str, *, source: str, actions: Mapping[str, type[BaseModel]]) -> Policy:
    """Read a policy.

    Args:
        text: YAML.
        source: Where it was read, for people.
        actions: The parameters of each action by the action's name.

    Raises:
        SettingsError: With every fault and its line, in the order of the lines.
    """
    try:
        document = read(text)
    except SettingsError as error:
        raise SettingsError([f"{source}:{fault}" for fault in error.faults]) from None
    faults: list[Fault] = [*document.faults, *clashes(document, actions)]
    policy = None
    try:
        policy = Policy.model_validate(document.data, context=actions)
    except ValidationError as error:
        faults += told(error, document, cache(lambda: schema(actions)))
    if policy is None or faults:
        raise SettingsError([f"{source}:{fault}" for fault in sorted(faults, key=lambda fault: fault.line)])
    return policy


def schema(actions: Mapping[str, type[BaseModel]]) -> dict[str, Any]:
    """The JSON Schema of a policy, draft 2020-12, for editors.

    Args:
        actions: The parameters of each action by the action's name.
    """
    models: tuple[type[BaseModel], ...] = (Policy, *actions.values())
    references, document = models_json_schema(
        [(model, "validation") for model in models], title="Cost Watchdog policy", schema_generator=_AsWritten
    )
    named = {name: references[params, "validation"] for name, params in actions.items()}
    document["$defs"]["Step"]["properties"]["do"]["items"] = _schema_of_uses(named, actions)
    return {
        "$schema": _AsWritten.schema_dialect,
        "title": document["title"],
        "$defs": document["$defs"],
        **references[Policy, "validation"],
    }


class _AsWritten(GenerateJsonSchema):
    """Defaults as a person writes them: pydantic would say PT6H, and 5497558138880."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> dict[str, Any]:
        """The default in the policy's own notation, which is that of the field's serializer."""
        document, field = super().default_schema(schema), dict[str, Any](schema["schema"])
        while "serialization" not in field and "schema" in field:
            field = field["schema"]
        written = field.get("serialization", {}).get("function")
        if written and document.get("default") is not None:
            document["default"] = written(schema["default"])
        return document


def _schema_of_uses(references: Mapping[str, Any], actions: Mapping[str, type[BaseModel]]) -> dict[str, Any]:
    bare = [name for name, params in actions.items() if not _required(params)]
    named = {"type": "object", "properties": dict(references), "additionalProperties": False, "minProperties": 1, "maxProperties": 1}
    return {"anyOf": [{"type": "string", "enum": bare}, named] if bare else [named]}
