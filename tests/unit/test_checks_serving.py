"""What an audit finds about what runs."""

from __future__ import annotations

from decimal import Decimal

import pytest

from shared import checks
from shared.audit.estate import Reach
from shared.audit.seen import Execution, Usage
from shared.checks import by_policy
from tests.estates import DAY, NOW, POLICY, a_bucket, a_pool, a_service, an_estate, found, told
from tests.stage import HERE, IDLE_80, NOTIFY_50, PROJECT, a_policy, full_name

PROD = {"env": "prod"}
REVISIONS = [{"revision": "r-1", "percent": 0, "tag": "canary", "minimum": 1}, {"revision": "r-2", "percent": 50, "tag": "", "minimum": 2}]
L4 = {"billing": "instance", "gpu": "nvidia-l4", "cpu": 4.0, "memory_gib": 16.0}


def test_the_registry() -> None:
    """Each check carries the name of its file; helpers are no checks."""
    assert "by_policy" not in checks.registry()
    assert all(name == check.name for name, check in checks.registry().items())
    assert {check.category for check in checks.registry().values()} == {"serving", "storage", "budgets", "labels", "watch"}
    assert [check.name for check in checks.asked(["labels"])] == ["missing_labels"]


def test_an_impostor(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file whose check carries another name is a mistake in the code."""
    monkeypatch.setattr("shared.checks.no_maximum.CHECK", checks.registry()["unreached"])
    with pytest.raises(TypeError, match="no_maximum"):
        checks.registry.__wrapped__()


def test_what_the_policy_does() -> None:
    """The first step that reaches a resource, and how many more do; or why none does."""
    service = a_service()
    first, second = (
        Reach("ML", "actual-0.8", "scale_to_zero", Decimal(1)),
        Reach("ML", "forecast-1", "scale_to_zero", Decimal(1), approve=True),
    )
    said = [by_policy.steps(an_estate(reach={service.name: reach}), service) for reach in ((first,), (second, first))]
    assert said == ["scale_to_zero at 80 % of ML (spend)", "scale_to_zero at 100 % of ML (forecast spend) after a yes, and 1 more"]
    assert (
        by_policy.steps(an_estate(untouched={service.name: "not selected"}), service)
        == "no step of the policy would change it: not selected"
    )
    assert by_policy.steps(an_estate(), service) == "no step of the policy would change it: there is none"


def test_warm_instances() -> None:
    """Each part that keeps instances warm is named, with the command that ends it."""
    service = a_service(minimum=2, revision_minimum=1, facts={"revisions": REVISIONS})
    (finding,) = found("warm_instances", an_estate(service))
    assert finding.what == (
        "keeps 4 instances warm (service minimum 2, revision minimum 1, revision r-1, tag canary: 1, revision r-2: 2) and answered no request in 7 days"
    )
    assert finding.saving
    assert (finding.saving.monthly, finding.meter) == (Decimal("39.44"), f"{service.name} instances")
    where = f"--region={HERE} --project={PROJECT}"
    assert finding.mend == (
        f"gcloud run services update warm {where} --min=0", f"gcloud run services update warm {where} --min-instances=0",
        f"gcloud run services update-traffic warm {where} --remove-tags=canary", f"gcloud run services update-traffic warm {where} --to-latest",
    )  # fmt: skip


def test_warm_instances_of_manual_scaling() -> None:
    """They are told as such."""
    service = a_service(mode="manual", count=3, facts={"revisions": [{"revision": "r", "percent": 100, "tag": "", "minimum": 0}]})
    (finding,) = found("warm_instances", an_estate(service, usage=None))
    assert "(manual scaling with 3) whether there are requests or not" in finding.what
    assert finding.mend[0].endswith("--scaling=auto --min=0 --max=3")
    (busy,) = found("warm_instances", an_estate(service, usage={service.name: Usage(requests=5)}))
    assert "whether there are requests or not" in busy.what


def test_warm_instances_of_a_revision_alone() -> None:
    """Only what is there is named."""
    (finding,) = found("warm_instances", an_estate(a_service(revision_minimum=1)))
    assert "(revision minimum 1)" in finding.what
    assert len(finding.mend) == 1


def test_who_is_not_told_of_warm_instances() -> None:
    """Production, the watchdog, functions, and what keeps none warm."""
    spared = [
        a_service("prod", labels=PROD, minimum=1), a_service("own", minimum=1, facts={"watchdog": True}), a_service("function", minimum=1, facts={"function": True}),
        a_service("cold"), a_service("stopped", mode="manual", count=0),
    ]  # fmt: skip
    assert found("warm_instances", an_estate(*spared)) == []


def test_idle_billing() -> None:
    """What was billed in a week decides, or else what the settings keep running; of production it is a question."""
    gpu, plain = a_service("gpu", minimum=1, facts=L4), a_service("plain", facts={"billing": "instance"})
    prod = a_service("prod", labels=PROD, minimum=1, facts={"billing": "instance"})
    usage = {plain.name: Usage(billable_seconds=7 * 86_400.0)}
    findings = {each.resource.rsplit("/", 1)[-1]: each for each in found("idle_billing", an_estate(gpu, plain, prod, usage=usage))}
    assert findings["gpu"].severity == "high"
    assert findings["gpu"].what == "bills by instance with a nvidia-l4 GPU and answered no request in 7 days"
    assert len(findings["gpu"].mend) == 1
    assert findings["plain"].saving
    assert findings["plain"].saving.basis.startswith("168 billed instance hours in 7 days")
    assert len(findings["plain"].mend) == 2
    assert (findings["prod"].severity, findings["prod"].what.rpartition("; ")[2]) == (
        "low",
        "is it still needed? (protected by the label env=prod)",
    )


def test_who_is_not_told_of_idle_billing() -> None:
    """Whoever answers requests, bills them, is young, runs nothing, or is the watchdog; and nobody where traffic is not known."""
    instance = {"billing": "instance"}
    busy = a_service("busy", minimum=1, facts=instance)
    others = [
        busy, a_service("request", minimum=1), a_service("young", minimum=1, facts={**instance, "created": (NOW - DAY).isoformat()}),
        a_service("unknown", minimum=1, facts={**instance, "created": ""}), a_service("nothing", facts=instance),
        a_service("own", minimum=1, facts={**instance, "watchdog": True}),
    ]  # fmt: skip
    assert found("idle_billing", an_estate(*others, usage={busy.name: Usage(requests=1)})) == []
    assert found("idle_billing", an_estate(a_service(minimum=1, facts=instance), usage=None)) == []


def test_no_maximum() -> None:
    """Neither the service nor its revision has one below the default."""
    services = [
        a_service("open"), a_service("unset", facts={"revision_maximum": 0}), a_service("limited", maximum=5), a_service("revision", facts={"revision_maximum": 10}),
        a_service("manual", mode="manual", count=1), a_service("own", facts={"watchdog": True}),
    ]  # fmt: skip
    assert told("no_maximum", an_estate(*services)) == [
        ("open", "low", "has no maximum of instances, so it may grow to 100"), ("unset", "low", "has no maximum of instances, so it may grow to 100"),
    ]  # fmt: skip


def test_oversized() -> None:
    """Half of what is hardly used would do; CPU stays as high as the memory needs."""
    large = a_service("large", facts={"cpu": 4.0, "memory_gib": 16.0})
    hungry = a_service("hungry", facts={"cpu": 4.0, "memory_gib": 16.0})
    usage = {name: Usage(9, 70 * 86_400.0, cpu, memory) for name, cpu, memory in ((large.name, 0.1, 0.2), (hungry.name, 0.1, 0.9))}
    (finding,) = found("oversized", an_estate(large, hungry, usage=usage))
    assert finding.resource == large.name
    assert finding.what == "uses at most 10% of 4 vCPU and 20% of 16 GiB (99th percentile of 7 days)"
    assert finding.mend[0].endswith("--cpu=2 --memory=8192Mi --tag=smaller --no-traffic")
    assert finding.saving
    assert finding.saving.monthly > 5


def test_who_is_not_told_to_shrink() -> None:
    """Whoever uses what it has, is small already, has a GPU, would save next to nothing, or is not known."""
    little = Usage(9, 70 * 86_400.0, 0.1, 0.1)
    services = [a_service("small"), a_service("gpu", facts=L4), a_service("own", facts={"watchdog": True}), a_service("unseen")]
    usage = {service.name: little for service in services[:3]} | {
        full_name("rare"): Usage(1, 60.0, 0.1, 0.1),
        full_name("part"): Usage(1, 60.0, 0.5, None),
    }
    rare, part = a_service("rare", facts={"cpu": 4.0, "memory_gib": 8.0}), a_service("part")
    assert found("oversized", an_estate(*services, rare, part, usage=usage)) == []
    assert found("oversized", an_estate(*services, usage=None)) == []


def test_worker_pools() -> None:
    """Those outside production that run."""
    pools = [a_pool("trainer", 2), a_pool("stopped", 0), a_pool("prod", 3, env="prod")]
    (finding,) = found("worker_pools", an_estate(*pools))
    assert finding.what == "runs 2 instances around the clock"
    assert finding.mend == (f"gcloud run worker-pools update trainer --region={HERE} --project={PROJECT} --instances=0",)


def test_job_executions() -> None:
    """Those that have run for longer than a job usually does, the dear ones graver."""
    job = f"projects/{PROJECT}/locations/{HERE}/jobs/train/executions"
    executions = (
        Execution(f"{job}/long", {"team": "nlp"}, NOW - 2 * DAY, 1, 1, 1), Execution(f"{job}/gpu", {}, NOW - DAY / 2, 8, 4, 16, "nvidia-l4"),
        Execution(f"{job}/short", {}, NOW - DAY / 2, 1, 1, 1), Execution(f"{job}/waiting", {}, NOW - 2 * DAY, 0, 1, 1),
        Execution(f"{job}/prod", PROD, NOW - 2 * DAY, 1, 1, 1),
    )  # fmt: skip
    findings = found("job_executions", an_estate(executions=executions))
    assert [(each.resource.rsplit("/", 1)[-1], each.severity) for each in findings] == [("gpu", "high"), ("long", "medium")]
    assert findings[1].what == "has run 1 task since 2026-11-22 12:00 UTC: about $1.73 a day, $3.46 so far (estimate)"
    assert findings[1].labels == {"team": "nlp"}
    assert found("job_executions", an_estate(executions=None)) == []


def test_unreached() -> None:
    """What runs and is out of every step's reach is told with the planner's reason."""
    warm, cold, pool, prod = a_service(minimum=1), a_service("cold"), a_pool(), a_service("prod", labels=PROD, minimum=1)
    estate = an_estate(
        warm, cold, pool, prod, untouched={warm.name: "held until tomorrow"}, reach={pool.name: (Reach("ML", "s", "a", Decimal(0)),)}
    )
    assert told("unreached", estate) == [
        ("warm", "low", "is reached by no step of the policy (held until tomorrow), and is not protected either")
    ]
    assert [name for name, _, _ in told("unreached", an_estate(pool))] == ["trainer"]
    bare = POLICY.model_copy(update={"budgets": ()})
    assert found("unreached", an_estate(warm, policy=bare)) == []


def test_missing_labels() -> None:
    """One finding for each resource names all that it lacks; an empty label counts as missing."""
    policy = a_policy(IDLE_80, more="required_labels: [team, cost-center]")
    resources = [
        a_service("a", labels={"team": "nlp", "cost-center": ""}),
        a_service("b", labels={"team": "x", "cost-center": "y"}),
        a_pool("c"),
        a_bucket("bucket-d"),
    ]
    findings = found("missing_labels", an_estate(*resources, policy=policy))
    assert [(each.resource.rsplit("/", 1)[-1], each.what) for each in findings] == [
        ("bucket-d", "lacks the labels team, cost-center"), ("a", "lacks the label cost-center"), ("c", "lacks the labels team, cost-center"),
    ]  # fmt: skip
    assert [each.mend[0].split(" --")[0] for each in findings] == [
        "gcloud storage buckets update gs://bucket-d", "gcloud run services update a", "gcloud run worker-pools update c",
    ]  # fmt: skip
    assert found("missing_labels", an_estate(*resources)) == []


def test_names_are_quoted_for_the_shell() -> None:
    """Whatever a name holds, pasting the command runs nothing else."""
    (finding,) = found("warm_instances", an_estate(a_service("a; rm -rf ~", minimum=1), policy=a_policy(NOTIFY_50)))
    assert "update 'a; rm -rf ~' --region" in finding.mend[0]
