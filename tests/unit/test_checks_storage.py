"""What an audit finds about what is stored."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from shared.audit.estate import Heap, Inventory, RunSeen, RunState
from shared.audit.seen import Stock
from tests.buckets import delete, move
from tests.estates import DAY, GIB, NOW, TIB, a_bucket, an_estate, found, told
from tests.yard import RUNS, a_rule, the_policy

OWN = a_bucket("own", watchdog=True)
STORED = {
    RUNS: (
        Stock("live", "STANDARD", TIB),
        Stock("noncurrent", "STANDARD", TIB),
        Stock("soft_deleted", "STANDARD", TIB),
        Stock("multipart", "STANDARD", TIB),
    )
}


def listed(**more: Any) -> dict[str, Inventory]:
    """The inventory of the bucket."""
    return {RUNS: Inventory(RUNS, **more)}


def test_no_lifecycle() -> None:
    """Buckets of some size without a rule, by what was measured or else by what was listed; never the watchdog's own."""
    bare = a_bucket()
    assert told("no_lifecycle", an_estate(bare, OWN, stocks=STORED | {"own": STORED[RUNS]})) == [
        (RUNS, "low", "has no lifecycle rule, and holds 1.0 TiB")
    ]
    live = {("STANDARD", 0): Heap(1, GIB), ("STANDARD", 30): Heap(1, GIB)}
    assert told("no_lifecycle", an_estate(bare, stocks=None, inventories=listed(live=live))) == [
        (RUNS, "low", "has no lifecycle rule, and holds 2.0 GiB")
    ]
    assert found("no_lifecycle", an_estate(bare, stocks=None)) == []
    assert found("no_lifecycle", an_estate(a_bucket(RUNS, delete(30)), stocks=STORED)) == []
    (finding,) = found("no_lifecycle", an_estate(bare, stocks=STORED))
    assert finding.mend[0].splitlines()[1] == f"gcloud storage buckets update gs://{RUNS} --lifecycle-file=lifecycle.json"
    assert '{"rule": [{"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"age": 7}}]}' in finding.mend[0]


def test_cold_data() -> None:
    """The class that saves most, with what moving costs, how much may be read back, and how far the listing came."""
    live = {("STANDARD", 30): Heap(1000, TIB), ("STANDARD", 90): Heap(1000, TIB), ("STANDARD", 0): Heap(9, TIB)}
    (finding,) = found("cold_data", an_estate(a_bucket(), inventories=listed(live=live, whole=False, until="runs/x")))
    assert finding.what == (
        "holds 2.0 TiB older than 30 days in the Standard class (2,000 objects) in the part that was listed (up to runs/x)"
    )
    assert finding.saving
    assert (finding.saving.monthly, finding.saving.once) == (Decimal("20.48"), Decimal("0.02"))
    assert "as long as not more than 100 % of it is read back in a month" in finding.why
    only_old = {("STANDARD", 365): Heap(1, TIB)}
    (colder,) = found("cold_data", an_estate(a_bucket(), inventories=listed(live=only_old)))
    assert colder.what.startswith("holds 1.0 TiB older than 90 days in the Standard class (1 object)")
    assert "In Coldline it costs less, as long as not more than 79 % of it" in colder.why


def test_who_is_not_told_of_cold_data() -> None:
    """Autoclass does it by itself, a rule does it already, there is next to nothing, or nothing was listed."""
    inventories = listed(live={("STANDARD", 90): Heap(1, TIB)})
    for bucket in (a_bucket(autoclass=True), a_bucket(RUNS, move("NEARLINE", 30)), a_bucket("unlisted"), OWN):
        assert found("cold_data", an_estate(bucket, inventories=inventories)) == []
    assert found("cold_data", an_estate(a_bucket(), inventories=listed(live={("STANDARD", 90): Heap(1, GIB)}))) == []


def test_noncurrent_versions() -> None:
    """What is measured, or else listed; not where a rule deletes them."""
    versioned = a_bucket(versioned=True)
    (finding,) = found("noncurrent_versions", an_estate(versioned, stocks=STORED))
    assert finding.what == "keeps 1.0 TiB of noncurrent versions, and no rule ever deletes them"
    assert finding.saving
    assert finding.saving.monthly == Decimal("20.48")
    assert finding.saving.basis.endswith("what is deleted is billed for 7 days more by soft delete")
    (counted,) = found(
        "noncurrent_versions",
        an_estate(a_bucket(soft_delete_days=0), stocks=None, inventories=listed(noncurrent={"STANDARD": Heap(1, TIB)})),
    )
    assert counted.saving
    assert "soft delete" not in counted.saving.basis
    ended = a_bucket(RUNS, {"action": {"type": "Delete"}, "condition": {"daysSinceNoncurrentTime": 7}})
    assert found("noncurrent_versions", an_estate(ended, stocks=STORED)) == []
    assert found("noncurrent_versions", an_estate(versioned)) == []


def test_soft_deleted() -> None:
    """It is told, with what the window is good for, and counts as no saving."""
    (finding,) = found("soft_deleted", an_estate(a_bucket(), stocks=STORED))
    assert finding.what == "pays for 1.0 TiB that is deleted already: about $20 a month at list price of us-central1 (estimate)"
    assert (finding.severity, finding.saving) == ("low", None)
    many = {RUNS: (Stock("soft_deleted", "STANDARD", 20 * TIB),)}
    assert [each.severity for each in found("soft_deleted", an_estate(a_bucket(), stocks=many))] == ["medium"]
    assert found("soft_deleted", an_estate(a_bucket(), stocks=None, inventories=listed())) == []


def test_incomplete_uploads() -> None:
    """Parts that no listing shows."""
    (finding,) = found("incomplete_uploads", an_estate(a_bucket(), stocks=STORED))
    assert finding.what == "holds 1.0 TiB of uploads that were never completed"
    mended = a_bucket(RUNS, {"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"age": 7}})
    assert found("incomplete_uploads", an_estate(mended, stocks=STORED)) == []
    assert found("incomplete_uploads", an_estate(a_bucket())) == []


def a_run(name: str, state: RunState, size: int = TIB) -> RunSeen:
    """A run that nobody seems to need."""
    return RunSeen("runs/{run}/", f"runs/{name}/", state, Heap(5, size), {"STANDARD": Heap(5, size)}, NOW - 40 * DAY, "_FAILED is there")


def test_failed_runs() -> None:
    """One finding for each state names the largest, says from when on deleting saves, and what the policy does about them."""
    runs = (a_run("a", "failed"), a_run("b", "failed", 2 * TIB), a_run("c", "abandoned"), a_run("d", "unpromoted"))
    inventories = listed(runs=runs, more_runs={"failed": Heap(2, GIB)}, unread=3)
    policy = the_policy(a_rule(abandoned_after="14d"))
    findings = {
        each.resource.rsplit("/", 1)[-1]: each
        for each in found("failed_runs", an_estate(a_bucket(), inventories=inventories, policy=policy))
    }
    assert list(findings) == ["failed", "abandoned", "unpromoted"]
    failed = findings["failed"]
    assert failed.what == (
        "2 runs failed: 3.0 TiB, among them runs/b/ (2.0 TiB), runs/a/ (1.0 TiB); 1.0 GiB of smaller ones not counted; the status of 3 runs was not read"
    )
    assert failed.saving
    assert (failed.saving.monthly, failed.saving.begins, failed.severity) == (Decimal("61.44"), NOW + 7 * DAY, "medium")
    assert failed.policy.startswith("the rule about runs/{run}/ deletes them after a wait of 1d")
    assert findings["unpromoted"].severity == "low"
    assert "set abandoned_after" in findings["unpromoted"].policy
    observing = the_policy(a_rule(abandoned_after="14d"), mode="observe")
    first = found("failed_runs", an_estate(a_bucket(), inventories=inventories, policy=observing))[0]
    assert "would delete" in first.policy


def test_failed_runs_in_a_bucket_with_versions() -> None:
    """Deleting them there saves nothing, so no saving is told; and a rule that only knows abandoned ones says nothing of failed ones."""
    rule = "{bucket: acme-ml-runs, runs: 'runs/{run}/', unless: [_SUCCESS], abandoned_after: 14d}"
    estate = an_estate(
        a_bucket(versioned=True, soft_delete_days=0), inventories=listed(runs=(a_run("a", "failed"),)), policy=the_policy(rule)
    )
    (finding,) = found("failed_runs", estate)
    assert (finding.saving, finding.severity, finding.policy, finding.why) == (
        None,
        "low",
        "",
        "Nobody reads them, and they are billed like any other object",
    )


def test_old_checkpoints() -> None:
    """What compressing is assumed to save, said as an assumption."""
    (finding,) = found("old_checkpoints", an_estate(a_bucket(), inventories=listed(checkpoints=Heap(10, TIB))))
    assert finding.what == "holds 10 checkpoints older than 30 days, not compressed: 1.0 TiB"
    assert finding.saving
    assert finding.saving.monthly == Decimal("2.05")
    assert finding.saving.basis.startswith("assumed: 10% of 1.0 TiB")
    assert found("old_checkpoints", an_estate(a_bucket("unlisted"), a_bucket(), inventories=listed(checkpoints=Heap(1, GIB)))) == []


def test_other_locations() -> None:
    """Where a location has no price of its own, the basis says so."""
    elsewhere = a_bucket()
    moved = type(elsewhere)("bucket", elsewhere.name.replace("us-central1", "asia-east1"), facts=elsewhere.facts)
    (finding,) = found("incomplete_uploads", an_estate(moved, stocks=STORED))
    assert finding.saving
    assert "list price of us-central1; asia-east1 may be dearer" in finding.saving.basis
