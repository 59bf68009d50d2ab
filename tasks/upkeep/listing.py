"""How much of what lies in a store."""

from collections import Counter

from schemas.store import StoredKind, StoreListing
from tasks.artifacts.store import Store
from tasks.upkeep.inventory import OBJECTS, cached_results, digest_in


def list_store(store: Store, kinds: dict[str, str], builds: dict[str, int]) -> StoreListing:
    """The store's objects by kind. ``kinds`` is known of the history, by digest."""
    results = list(cached_results(store))
    known = kinds | {ref.sha256: ref.kind for result in results for ref in result.refs}
    files: Counter[str] = Counter()
    size: Counter[str] = Counter()
    for entry in store.backend.entries(OBJECTS):
        kind = known.get(digest_in(entry.key) or "", "unknown")
        files[kind] += 1
        size[kind] += entry.size_bytes
    return StoreListing(
        location=store.location,
        kinds=tuple(
            StoredKind(kind=kind, files=files[kind], size_bytes=bytes_)
            for kind, bytes_ in size.most_common()
        ),
        results=len(results),
        builds=builds,
    )
