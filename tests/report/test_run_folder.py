"""The newest run's folder is replaced as a whole, also by two runs at once."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
REPLACES = """
import sys
from pathlib import Path
from tasks.artifacts.store import Store
from tasks.report.layout import put_in_place
store, folder = Store(sys.argv[1]), Path(sys.argv[1], "runs", "job")
folder.parent.mkdir(exist_ok=True)
for number in range(300):
    with store.workspace() as scratch:
        fresh = scratch / "new"
        fresh.mkdir()
        for name in "abc":
            (fresh / name).write_text(f"{sys.argv[2]} {number}")
        put_in_place(fresh, folder, scratch)
"""


def test_runs_that_end_at_once_replace_each_other_s_folder_as_a_whole(tmp_path: Path) -> None:
    runs = [
        subprocess.Popen([sys.executable, "-c", REPLACES, str(tmp_path), name], cwd=REPOSITORY)
        for name in ("one", "two", "three")
    ]
    assert [run.wait() for run in runs] == [0, 0, 0]
    left = list((tmp_path / "runs/job").iterdir())
    assert {file.name for file in left} == {"a", "b", "c"}
    assert len({file.read_text() for file in left}) == 1
    assert list((tmp_path / "runs").iterdir()) == [tmp_path / "runs/job"]
    assert list((tmp_path / "tmp").iterdir()) == []
