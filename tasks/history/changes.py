"""Which stage moved, and which dependency or input of it changed, between two builds."""

from collections.abc import Iterable, Iterator, Sequence

from schemas.base import Strict
from schemas.history import BuildRecord, StageRecord
from tasks.history.origins import SHA256, digests


class Change(Strict):
    """An input of a stage that is another than in an earlier build."""

    stage: str
    name: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        return f"{self.name} {_short(self.before)} -> {_short(self.after)}"


def _short(value: str | None) -> str:
    if value is None:
        return "none"
    return value[:12] if SHA256.match(value) else value


def upstream(stages: Sequence[StageRecord], of: set[str]) -> list[StageRecord]:
    """The stages that made the digests ``of``, and all that those depended on, in order."""
    wanted, found = set(of), []
    for stage in reversed(stages):
        if digests(stage.outputs) & wanted:
            found.append(stage)
            wanted |= digests(stage.inputs)
    return found[::-1]


def changes(before: BuildRecord, stages: Sequence[StageRecord]) -> list[Change]:
    """What differs in the inputs of ``stages`` from an earlier build, at its origin.

    What a stage got from an earlier stage is not its own change, and what several stages depend on
    is named at the first of them. Of several stages of one name, such as a search's candidates, a
    stage is held against the one whose inputs differ least.
    """
    earlier: dict[str, list[StageRecord]] = {}
    for stage in before.stages:
        earlier.setdefault(stage.name, []).append(stage)
    made: set[str] = set()
    seen: set[tuple[str, str | None, str | None]] = set()
    found = []
    for stage in stages:
        old = _most_alike(stage, earlier.get(stage.name, ()))
        if old is not None and stage.outputs != old.outputs:
            given = list(_differences(old.inputs, stage.inputs))
            results = list(_differences(old.outputs, stage.outputs))
            # A dataset, a network or a checkpoint that changed where it lies: never cached, it has
            # no input that tells.
            looked_up = stage.key is None and not given
            for name, was, now in results if looked_up else given:
                known = (name.rpartition(".")[2], was, now)
                if now not in made and known not in seen:
                    seen.add(known)
                    found.append(Change(stage=stage.name, name=name, before=was, after=now))
            seen |= {(name.rpartition(".")[2], was, now) for name, was, now in results}
        made |= digests(stage.outputs)
    return found


def _most_alike(stage: StageRecord, among: Iterable[StageRecord]) -> StageRecord | None:
    """The first of those whose inputs differ least from this one's."""

    def distance(other: StageRecord) -> int:
        return sum(1 for _ in _differences(other.inputs, stage.inputs))

    return min(among, key=distance, default=None)


def _differences(
    before: dict[str, str], after: dict[str, str]
) -> Iterator[tuple[str, str | None, str | None]]:
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield name, before.get(name), after.get(name)


def environment_changes(before: BuildRecord, versions: dict[str, str]) -> list[str]:
    """Packages that no stage is keyed by and that are of another version now."""
    names = sorted(before.versions.keys() | versions.keys())
    return [
        f"{name} {before.versions.get(name, 'none')} -> {versions.get(name, 'none')}"
        for name in names
        if before.versions.get(name) != versions.get(name)
    ]


def explain(before: BuildRecord, stages: Sequence[StageRecord], versions: dict[str, str]) -> str:
    """In words: the stage and what changed there; or that nothing did."""
    found = changes(before, stages)
    if found:
        first = found[0].stage
        there = [change for change in found if change.stage == first]
        text = f"changed at {first}: " + ", ".join(str(change) for change in there[:4])
        if len(there) > 4:
            text += f" and {len(there) - 4} more"
        later = list(dict.fromkeys(change.stage for change in found if change.stage != first))
        return text + (f"; also at {', '.join(later[:3])}" if later else "")
    environment = environment_changes(before, versions)
    if environment:
        return f"no input of its stages changed; installed: {', '.join(environment[:4])}"
    last = stages[-1].name if stages else "no stage"
    return f"no input of its stages changed: {last} gave another figure for the same inputs"
