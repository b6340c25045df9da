"""Services outside production that keep instances warm."""

from __future__ import annotations

from collections.abc import Iterator

from shared import prices
from shared.actions.scale_to_zero import warm_instances
from shared.audit.estate import Estate
from shared.audit.finding import Finding, Saving, severity_of
from shared.checks import Check
from shared.checks.by_policy import at, named, steps
from shared.model import Resource
from shared.slack.text import about, plural


def find(estate: Estate) -> Iterator[Finding]:
    """Each service that is not protected and runs instances without requests, with what keeps them and the command that ends each part."""
    for service in estate.of_kind("service"):
        warm = warm_instances(service.state, service.facts)
        if not warm or estate.spared(service) or service.facts["function"]:
            continue
        month = prices.warm_instance_month(service.facts)
        usage = None if estate.usage is None else estate.usage.get(service.name)
        quiet = estate.usage is not None and (usage is None or usage.requests == 0)
        because = "and answered no request in 7 days" if quiet else "whether there are requests or not"
        basis = f"{plural(warm, 'instance')} x {about(month)} a month at {prices.LISTED}, without requests; free tier and discounts are not in it"
        yield CHECK.finding(
            service,
            severity_of(month * warm),
            f"keeps {plural(warm, 'instance')} warm ({', '.join(_kept_by(service))}) {because}",
            "An instance that is kept warm is billed around the clock; without a minimum the first request waits for one to start",
            saving=Saving(monthly=month * warm, basis=basis),
            meter=f"{service.name} instances",
            mend=tuple(_commands(service)),
            policy=steps(estate, service),
        )


def _kept_by(service: Resource) -> Iterator[str]:
    state = service.state
    if state["mode"] == "manual":
        yield f"manual scaling with {state['count']}"
    elif state["minimum"]:
        yield f"service minimum {state['minimum']}"
    if state["mode"] != "manual" and state["revision_minimum"]:
        yield f"revision minimum {state['revision_minimum']}"
    for revision in service.facts.get("revisions", ()):
        if revision["minimum"]:
            tag = f", tag {revision['tag']}" if revision["tag"] else ""
            yield f"revision {revision['revision']}{tag}: {revision['minimum']}"


def _commands(service: Resource) -> Iterator[str]:
    update, state = f"gcloud run services update {named(service)} {at(service)}", service.state
    if state["mode"] == "manual":
        yield f"{update} --scaling=auto --min=0 --max={max(1, int(state['count'] or 0))}"
    elif state["minimum"]:
        yield f"{update} --min=0"
    if state["mode"] != "manual" and state["revision_minimum"]:
        yield f"{update} --min-instances=0"
    for revision in service.facts.get("revisions", ()):
        if revision["minimum"]:
            traffic = f"gcloud run services update-traffic {named(service)} {at(service)}"
            yield f"{traffic} --remove-tags={revision['tag']}" if revision["tag"] else f"{traffic} --to-latest"


CHECK = Check(name="warm_instances", category="serving", lever="instances kept warm", needs=frozenset({"resources", "usage"}), find=find)
