"""A packaged version under the names that a server looks for."""

import shutil

from schemas.publish import Package
from tasks.artifacts.store import Store, sha256_of_file
from tasks.publish.latest import VERSION, version_key


def lay_out(store: Store, job: str, package: Package) -> str:
    """Have the version among the published ones of the job; its key in the store.

    What is there already is left alone, unless somebody changed it: then it is written again.
    ``version.json`` comes last, so that the version is there as a whole or not at all.
    """
    top = version_key(job, package.version)
    with store.workspace() as scratch:
        for path, ref in (*package.files.items(), (VERSION, package.manifest)):
            key = f"{top}/{path}"
            if _holds(store, key, ref.sha256):
                continue
            copy = scratch / "file"
            shutil.copyfile(store.open(ref), copy)
            store.backend.put(copy, key)
            # Against a slip of the hand: nothing in a version may change.
            (store.root / key).chmod(0o444)
    return top


def _holds(store: Store, key: str, digest: str) -> bool:
    try:
        file = store.backend.fetch(key)
    except FileNotFoundError:
        return False
    if sha256_of_file(file) != digest:
        store.backend.forget(key)
        return False
    store.backend.confirm(key)
    return True
