"""A store's upkeep with what its history knows: flows compose the two, stages stay apart."""

from schemas.history import Damaged, RetentionPolicy
from schemas.store import Finding, GcReport, StoreListing, VerifyReport
from tasks.artifacts.store import Store
from tasks.history.keep import Kept, kept
from tasks.history.origins import digests
from tasks.history.records import HISTORY, histories, read_record
from tasks.publish.verify import damaged_publications
from tasks.upkeep.collect import collect
from tasks.upkeep.listing import list_store
from tasks.upkeep.verify import Maker, verify


def collect_garbage(store: Store, policy: RetentionPolicy, *, dry_run: bool = False) -> GcReport:
    """Remove what the policy does not keep."""

    def needs(now: float) -> Kept:
        return kept(store, policy, now)

    return collect(store, policy, needs, dry_run=dry_run)


def verify_store(store: Store, *, remove: bool = False) -> VerifyReport:
    """Read everything through; the history's records and what is published too."""
    makers: dict[str, Maker] = {}
    for job, history in histories(store):
        for build in history.builds:
            for stage in build.stages:
                for digest in digests(stage.outputs):
                    makers.setdefault(digest, Maker(stage.stage, stage.name, job))
            makers.setdefault(build.report.sha256, Maker("report", "report", job))
    others = [*_damaged_records(store), *damaged_publications(store)]
    return verify(store, makers, others, remove=remove)


def _damaged_records(store: Store) -> list[Finding]:
    found = [read_record(store, entry.key) for entry in store.backend.entries(HISTORY)]
    return [
        Finding(
            key=record.key,
            damage="unreadable",
            detail=f"record of the history {record.reason}",
            rebuilt_by="nothing: what it said of that build is lost; later builds are on record",
        )
        for record in found
        if isinstance(record, Damaged)
    ]


def list_contents(store: Store) -> StoreListing:
    """What lies in the store, by kind, and the builds of each job."""
    known = list(histories(store))
    kinds = {
        build.report.sha256: build.report.kind for _, history in known for build in history.builds
    }
    return list_store(store, kinds, {job: len(history.builds) for job, history in known})
