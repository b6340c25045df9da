"""The rules behind the stand-in for Cloud Storage, without a server."""

from __future__ import annotations

import datetime as dt
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

from sandbox.storage_errors import ApiError
from sandbox.storage_listing import Query, glob_pattern
from sandbox.storage_model import Storage
from sandbox.storage_state import Conditions

NOON = dt.datetime(2026, 11, 1, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def storage(**options: Any) -> Storage:
    """A stand-in with one bucket, at noon."""
    made = Storage(now=lambda: NOON, **options)
    made.create_bucket("artifacts")
    return made


def listed(cloud: Storage, **query: Any) -> tuple[list[tuple[str, str]], list[str]]:
    """Every page of a listing: names with generations, and prefixes."""
    items: list[tuple[str, str]] = []
    prefixes: list[str] = []
    token = ""
    while True:
        page = cloud.list_objects("artifacts", Query(page_token=token, **query))
        assert len(page.get("items", [])) + len(page.get("prefixes", [])) <= query.get("max_results", 1000)
        items += [(item["name"], item["generation"]) for item in page.get("items", [])]
        prefixes += page.get("prefixes", [])
        token = page.get("nextPageToken", "")
        if not token:
            return items, prefixes


def refusal(call: Callable[[], object]) -> tuple[int, str]:
    """The status and the reason with which a call is refused."""
    with pytest.raises(ApiError) as refused:
        call()
    return refused.value.status, refused.value.reason


# -- listing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_pages_of_any_size_are_the_whole_listing(seed: int) -> None:
    """Whatever is written, deleted and written again, every page size lists what is there, once, in order."""
    cloud = storage()
    chance = random.Random(seed)
    present: dict[str, int] = {}
    for _ in range(3000):
        name = f"{chance.choice('abc')}/{chance.randrange(40):02}/{chance.randrange(4)}"
        if name in present and chance.random() < 0.6:
            cloud.delete("artifacts", name)
            del present[name]
        else:
            present[name] = cloud.put("artifacts", name)
        if chance.random() < 0.02:
            listed(cloud, max_results=500)
    expected = [(name, str(present[name])) for name in sorted(present)]
    for size in (1, 7, 1000):
        assert listed(cloud, max_results=size) == (expected, [])
    folders = sorted({name.rpartition("/")[0] + "/" for name in present if name.startswith("b/")})
    for size in (1, 3, 1000):
        assert listed(cloud, prefix="b/", delimiter="/", max_results=size) == ([], folders)


def test_many_deletions_do_not_slow_a_listing_down_for_long() -> None:
    """Names of deleted objects are swept out once there are many of them."""
    cloud = storage()
    for number in range(3000):
        cloud.put("artifacts", f"{number:04}", size=1)
    assert len(listed(cloud)[0]) == 3000
    for number in range(2900):
        cloud.delete("artifacts", f"{number:04}")
    assert len(listed(cloud)[0]) == 100
    assert len(cloud._buckets["artifacts"].live.names.ordered()) == 100


def test_generations_of_a_name_are_paged_oldest_first() -> None:
    """With versions and with soft delete a page may end between two generations of one name."""
    cloud = storage()
    cloud.patch_bucket("artifacts", {"versioning": {"enabled": True}})
    made = [(name, str(cloud.put("artifacts", name))) for _ in range(3) for name in ("a", "b", "c")]
    for size in (1, 2, 1000):
        assert listed(cloud, versions=True, max_results=size)[0] == sorted(made)
    assert [name for name, _ in listed(cloud)[0]] == ["a", "b", "c"]
    for name, generation in made:
        cloud.delete("artifacts", name, int(generation))
    for size in (1, 2, 1000):
        assert listed(cloud, soft_deleted=True, max_results=size)[0] == sorted(made)


def test_an_object_overwritten_between_pages_is_not_listed_twice() -> None:
    """A plain listing goes on behind the name, whatever its generation is by then."""
    cloud = storage()
    for name in ("a", "b"):
        cloud.put("artifacts", name)
    first = cloud.list_objects("artifacts", Query(max_results=1))
    cloud.put("artifacts", "a")
    second = cloud.list_objects("artifacts", Query(page_token=first["nextPageToken"]))
    assert [item["name"] for item in second["items"]] == ["b"]


def test_names_are_listed_in_the_order_of_their_bytes() -> None:
    """Capital letters come before small ones, and other scripts behind, as their UTF-8 does."""
    cloud = storage()
    names = ["b", "B", "é", "z", "a/b", "a", "a-b", "日本", "😀", "\uffff"]
    for name in names:
        cloud.put("artifacts", name)
    assert [name for name, _ in listed(cloud)[0]] == sorted(names, key=str.encode)


@pytest.mark.parametrize(
    ("glob", "yes", "no"),
    [
        ("*.pt", ["m.pt", ".pt"], ["a/m.pt", "m.pth"]),
        ("**.pt", ["m.pt", "a/b/m.pt"], ["m.txt"]),
        ("**/m.pt", ["m.pt", "a/m.pt", "a/b/m.pt"], ["xm.pt"]),
        ("runs/*/log", ["runs/1/log"], ["runs/1/2/log", "runs//x/log"]),
        ("runs/?/log", ["runs/1/log"], ["runs/12/log", "runs///log"]),
        ("[a-c]x[!0-9]", ["axy", "cx-"], ["dxy", "ax1"]),
        ("{a,b*}/{x,y}.txt", ["a/x.txt", "bcd/y.txt"], ["c/x.txt", "a/z.txt"]),
        ("a,b\\*", ["a,b*"], ["a,bc"]),
        ("a}+(", ["a}+("], ["a"]),
    ],
)
def test_globs(glob: str, yes: list[str], no: list[str]) -> None:
    """Stars stop at a slash, double stars do not, sets and braces choose, everything else is itself."""
    pattern = glob_pattern(glob)
    assert [name for name in yes + no if pattern.fullmatch(name)] == yes


# -- writing ---------------------------------------------------------------------------------------------------------


def test_generations_rise_although_the_clock_stands_still() -> None:
    """Each write gets a higher number, around the microseconds of the clock, and no two stand-ins share one."""
    one, two = storage(), storage()
    numbers = [each.put("artifacts", "a") for _ in range(50) for each in (one, two)]
    assert numbers == sorted(set(numbers))
    assert numbers[0] >= int(NOON.timestamp() * 1_000_000)


def test_the_clock_is_the_real_one_unless_another_is_given() -> None:
    """Times are in UTC."""
    cloud = Storage()
    before = dt.datetime.now(dt.UTC)
    cloud.create_bucket("artifacts")
    cloud.put("artifacts", "a")
    assert before <= cloud.get("artifacts", "a").created <= dt.datetime.now(dt.UTC)


def test_an_object_can_be_older_than_the_stand_in() -> None:
    """A test may write an object of another day, of any size, class, hold and retention."""
    cloud = storage()
    cloud.put("artifacts", "a", size=7, created=NOON - 30 * DAY, retain_until=NOON + DAY, storageClass="ARCHIVE", eventBasedHold=True)
    resource = cloud.resource("artifacts", cloud.get("artifacts", "a"))
    assert resource["timeCreated"] == resource["updated"] == "2026-10-02T12:00:00.000Z"
    assert (resource["size"], resource["storageClass"], resource["eventBasedHold"]) == ("7", "ARCHIVE", True)
    assert resource["retentionExpirationTime"] == "2026-11-02T12:00:00.000Z"
    assert "md5Hash" not in resource


def test_new_objects_take_the_defaults_of_their_bucket() -> None:
    """The class and the event-based hold come from the bucket unless the object says otherwise."""
    cloud = storage()
    cloud.patch_bucket("artifacts", {"storageClass": "NEARLINE", "defaultEventBasedHold": True})
    cloud.put("artifacts", "a")
    cloud.put("artifacts", "b", storageClass="STANDARD", eventBasedHold=False)
    both = [cloud.resource("artifacts", cloud.get("artifacts", name)) for name in "ab"]
    assert [(each["storageClass"], each["eventBasedHold"]) for each in both] == [("NEARLINE", True), ("STANDARD", False)]


def test_a_retained_object_may_become_noncurrent_but_not_end() -> None:
    """In a versioned bucket a retention lets a plain delete through, and refuses the one that names the generation."""
    cloud = storage()
    cloud.patch_bucket("artifacts", {"versioning": {"enabled": True}, "retentionPolicy": {"retentionPeriod": 60}})
    generation = cloud.put("artifacts", "a")
    assert refusal(lambda: cloud.delete("artifacts", "a", generation)) == (403, "retentionPolicyNotMet")
    cloud.delete("artifacts", "a")
    assert refusal(lambda: cloud.delete("artifacts", "a", generation)) == (403, "retentionPolicyNotMet")


def test_without_soft_delete_an_object_is_gone_at_once() -> None:
    """Nothing is kept, nothing is counted, nothing can be restored."""
    cloud = storage()
    generation = cloud.put("artifacts", "a", b"x")
    cloud.patch_bucket("artifacts", {"softDeletePolicy": {"retentionDurationSeconds": "0"}})
    cloud.delete("artifacts", "a")
    assert cloud.snapshot()[0]["soft_deleted_objects"] == 0
    assert refusal(lambda: cloud.restore("artifacts", "a", generation)) == (400, "SoftDeletePolicyRequired")


def test_an_object_stays_restorable_by_the_policy_under_which_it_was_deleted() -> None:
    """A later change of the policy neither shortens nor lengthens what was deleted before."""
    time = NOON
    cloud = Storage(now=lambda: time)
    cloud.create_bucket("artifacts", softDeletePolicy={"retentionDurationSeconds": 30 * 86400})
    for name, seconds in (("long", 7 * 86400), ("short", 0)):
        cloud.put("artifacts", name)
        cloud.delete("artifacts", name)
        cloud.patch_bucket("artifacts", {"softDeletePolicy": {"retentionDurationSeconds": seconds}})
    time = NOON + 7 * DAY
    assert [name for name, _ in listed(cloud, soft_deleted=True)[0]] == ["long"]
    time = NOON + 30 * DAY
    assert cloud.snapshot()[0]["soft_deleted_objects"] == 0


def test_effective_times_change_with_their_policy_alone() -> None:
    """Another setting does not touch them."""
    time = NOON
    cloud = Storage(now=lambda: time)
    before = cloud.create_bucket("artifacts", retentionPolicy={"retentionPeriod": 60})
    time = NOON + DAY
    after = cloud.patch_bucket("artifacts", {"labels": {"a": "b"}})
    assert (after["softDeletePolicy"], after["retentionPolicy"]) == (before["softDeletePolicy"], before["retentionPolicy"])
    changed = cloud.patch_bucket("artifacts", {"softDeletePolicy": {"retentionDurationSeconds": 864000}, "labels": {}})
    assert changed["softDeletePolicy"]["effectiveTime"] == "2026-11-02T12:00:00.000Z"
    assert "labels" not in changed


def test_a_replaced_bucket_keeps_its_name_and_place() -> None:
    """An update without them changes neither, and one with others is refused."""
    cloud = Storage(now=lambda: NOON)
    cloud.create_bucket("artifacts", location="europe-west1", labels={"a": "b"})
    replaced = cloud.patch_bucket("artifacts", {"storageClass": "NEARLINE"}, replace=True)
    assert (replaced["location"], replaced["storageClass"], "labels" in replaced) == ("EUROPE-WEST1", "NEARLINE", False)
    assert refusal(lambda: cloud.patch_bucket("artifacts", {"location": "US"})) == (400, "invalid")
    assert refusal(lambda: cloud.patch_bucket("artifacts", {"name": "other"})) == (400, "invalid")


@pytest.mark.parametrize(("location", "kind"), [("eu", "multi-region"), ("nam4", "dual-region"), ("us-east1", "region")])
def test_the_type_of_a_location(location: str, kind: str) -> None:
    """A location is a region, a pair of them or a continent."""
    assert storage().create_bucket("other", location=location)["locationType"] == kind


@pytest.mark.parametrize("name", ["", ".", "..", "a\nb", "a\rb", ".well-known/acme-challenge/x", "é" * 513])
def test_a_bad_object_name_is_refused(name: str) -> None:
    """Names outside the naming rules answer 400."""
    cloud = storage()
    assert refusal(lambda: cloud.put("artifacts", name)) == (400, "invalid")


def test_custom_time_only_moves_forward() -> None:
    """A later time is taken, an earlier one is refused, and a time needs a zone."""
    cloud = storage()
    cloud.put("artifacts", "a", customTime="2026-01-02T01:00:00+01:00")
    assert cloud.patch("artifacts", "a", {"customTime": "2026-01-03T00:00:00Z"})["customTime"] == "2026-01-03T00:00:00.000Z"
    assert refusal(lambda: cloud.patch("artifacts", "a", {"customTime": "2026-01-02T00:00:00Z"})) == (400, "invalid")
    assert refusal(lambda: cloud.patch("artifacts", "a", {"customTime": "2026-01-04T00:00:00"})) == (400, "invalid")


def test_conditions_on_an_object_that_is_not_there() -> None:
    """Its generation counts as 0, and no metageneration matches it."""
    Conditions(generation=0, not_generation=5, not_metageneration=1).check(0, None)
    assert refusal(lambda: Conditions(metageneration=1).check(0, None)) == (412, "conditionNotMet")
    assert refusal(lambda: Conditions(not_generation=0).check(0, None)) == (304, "notModified")


# -- what others see -------------------------------------------------------------------------------------------------


def test_events_tell_of_every_change_once_it_is_made() -> None:
    """Writing, replacing, archiving, changing and deleting each send their event, and the change is visible by then."""
    seen: list[tuple[str, str, bool]] = []

    def hook(kind: str, resource: dict[str, Any]) -> None:
        live = [item["name"] for item in cloud.list_objects("artifacts", Query()).get("items", [])]
        seen.append((kind.removeprefix("google.cloud.storage.object.v1."), resource["generation"], resource["name"] in live))

    cloud = storage(on_event=hook)
    one = cloud.put("artifacts", "a")
    two = cloud.put("artifacts", "a")
    cloud.patch("artifacts", "a", {"metadata": {"k": "v"}})
    cloud.patch_bucket("artifacts", {"versioning": {"enabled": True}})
    cloud.delete("artifacts", "a")
    cloud.delete("artifacts", "a", two)
    expected = [("finalized", one), ("deleted", one), ("finalized", two), ("metadataUpdated", two), ("archived", two), ("deleted", two)]
    assert [(kind, int(generation)) for kind, generation, _ in seen] == expected
    assert [live for *_, live in seen] == [True, True, True, True, False, False]


def test_a_failed_write_sends_no_event_and_leaves_no_trace() -> None:
    """What is refused is neither told nor logged."""
    seen: list[str] = []
    cloud = storage(on_event=lambda kind, _: seen.append(kind))
    assert refusal(lambda: cloud.insert("artifacts", "a", b"x", {}, Conditions(generation=1))) == (412, "conditionNotMet")
    assert refusal(lambda: cloud.insert("nowhere", "a", b"x", {})) == (404, "notFound")
    assert (seen, [method for _, method, *_ in cloud.writes]) == ([], ["storage.buckets.insert"])


def test_the_log_of_writes_names_each_change() -> None:
    """Time, method, bucket, object and generation, in the order of the changes."""
    cloud = storage()
    one = cloud.put("artifacts", "a")
    cloud.delete("artifacts", "a")
    restored = cloud.restore("artifacts", "a", one)
    cloud.patch("artifacts", "a", {"metadata": {"k": "v"}})
    copied = cloud.rewrite(("artifacts", "a", None), ("artifacts", "b"), {"name": "b", "storageClass": "ARCHIVE"})
    assert (copied["metadata"], copied["storageClass"]) == ({"k": "v"}, "ARCHIVE")
    assert cloud.writes[1:] == [
        (NOON, "storage.objects.insert", "artifacts", "a", one),
        (NOON, "storage.objects.delete", "artifacts", "a", one),
        (NOON, "storage.objects.restore", "artifacts", "a", int(restored["generation"])),
        (NOON, "storage.objects.patch", "artifacts", "a", int(restored["generation"])),
        (NOON, "storage.objects.rewrite", "artifacts", "b", int(copied["generation"])),
    ]


def test_a_rewrite_with_metadata_replaces_all_of_them() -> None:
    """What the request says about the copy is what the copy has."""
    cloud = storage()
    cloud.put("artifacts", "a", b"x", metadata={"k": "v"}, contentType="text/plain", cacheControl="no-store")
    copied = cloud.rewrite(("artifacts", "a", None), ("artifacts", "b"), {"contentType": "text/html"})
    assert (copied["contentType"], "metadata" in copied, "cacheControl" in copied) == ("text/html", False, False)


def test_a_snapshot_sums_up_each_bucket() -> None:
    """Counts and bytes of live, noncurrent and soft-deleted objects, and the newest of the live ones first."""
    cloud = storage()
    cloud.create_bucket("versions", location="eu", versioning={"enabled": True}, softDeletePolicy={"retentionDurationSeconds": 0})
    for number in range(250):
        cloud.put("artifacts", f"{number:03}", size=10, created=NOON - number * DAY)
    for number in range(100, 110):
        cloud.delete("artifacts", f"{number:03}")
    cloud.put("versions", "a", size=3)
    cloud.put("versions", "a", size=4)
    artifacts, versions = cloud.snapshot()
    assert (artifacts["objects"], artifacts["bytes"], artifacts["soft_deleted_objects"], artifacts["soft_deleted_bytes"]) == (
        240,
        2400,
        10,
        100,
    )
    assert len(artifacts["newest"]) == 200
    assert artifacts["newest"][0] == {"name": "000", "size": 10, "storage_class": "STANDARD", "updated": "2026-11-01T12:00:00.000Z"}
    assert (versions["name"], versions["location"], versions["versioning"], versions["soft_delete_seconds"]) == ("versions", "EU", True, 0)
    assert (versions["objects"], versions["bytes"], versions["noncurrent_objects"], versions["noncurrent_bytes"]) == (1, 4, 1, 3)


def test_threads_do_not_lose_each_others_work() -> None:
    """Writers, deleters and listers at once leave counts, names and events that fit together."""
    events: list[str] = []
    cloud = storage(on_event=lambda kind, _: events.append(kind.rpartition(".")[2]))

    def work(number: int) -> None:
        for step in range(100):
            cloud.put("artifacts", f"{number}/{step}", size=1)
            if step % 2:
                cloud.delete("artifacts", f"{number}/{step}")
            if step % 25 == 0:
                cloud.list_objects("artifacts", Query(max_results=10))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (found,) = cloud.snapshot()
    assert (found["objects"], found["bytes"], found["soft_deleted_objects"]) == (200, 200, 200)
    assert len(listed(cloud)[0]) == 200
    assert (events.count("finalized"), events.count("deleted")) == (400, 200)
