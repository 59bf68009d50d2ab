"""Job files: what is wrong with one is said in one line."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.jobfile import load_job
from schemas.errors import InputError

REPOSITORY = Path(__file__).parents[2]
JOBS = sorted((REPOSITORY / "jobs").glob("*.yaml"))
QUICKSTART = REPOSITORY / "jobs" / "quickstart.yaml"


def written(tmp_path: Path, change: dict[str, Any]) -> Path:
    document = yaml.safe_load(QUICKSTART.read_text(encoding="utf-8")) | change
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    return file


@pytest.mark.parametrize("file", JOBS, ids=lambda file: file.stem)
def test_every_job_file_here_is_valid_and_named_after_its_file(file: Path) -> None:
    assert load_job(file).name == file.stem


def test_relative_paths_are_relative_to_the_job_file() -> None:
    weights = load_job(QUICKSTART).model.weights
    assert weights is not None
    assert weights.is_absolute()
    assert weights.is_file()


def test_an_override_replaces_a_nested_field() -> None:
    job = load_job(QUICKSTART, ["calibration.seed=7", "engines.tensorrt_rtx=null"])
    assert job.calibration.seed == 7
    assert job.engines.tensorrt_rtx is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"calibratoin": {}}, "calibratoin is not a field of a job: did you mean calibration?"),
        (
            {"calibration": {"image": 5}},
            "calibration.image is not a field of a job: did you mean images?",
        ),
        ({"calibration": {"images": -3}}, "calibration.images is -3: give a number greater than 0"),
        ({"accuracy": {"max_drop_points": float("inf")}}, "max_drop_points is inf: give a finite"),
        ({"regression": {"max_size_growth": "inf"}}, "max_size_growth is inf: give a finite"),
        ({"model": {"factory": "a:b", "kwargs": {"x": [float("nan")]}}}, "kwargs.x.0 is nan: give"),
        ({"profile": {"threads": []}}, "profile.threads is []: let it have at least 1 item"),
        ({"calibration": {"images": True}}, "calibration.images is yes or no: give a number"),
        ({"profile": {"threads": [False, 1]}}, "profile.threads.0 is yes or no: give a number"),
        ({"calibration": {"images": "many"}}, "calibration.images is 'many': give a valid integer"),
        ({"name": "My Job"}, "name is 'My Job': let it match pattern"),
        ({"data": {}}, "name exactly one of fashion_mnist, cifar10, image_folder, factory"),
        (
            {"data": {"fashion_mnist": {}, "cifar10": {}}},
            "got fashion_mnist, cifar10: name",
        ),
        ({"data": {"fashion_mnist": {}, "mean": [0.5], "std": [0.0]}}, "data.std.0"),
        ({"model": {"factory": "no-colon"}}, "model.factory"),
        ({"model": {}}, "model.factory is missing"),
        ({"export": {"opset": 5}}, "export.opset"),
        ({"engines": {"tensorrt_rtx": {"compute_capability": "Ampere"}}}, "compute_capability"),
    ],
)
def test_a_wrong_field_is_named_with_its_value_and_fix(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        load_job(written(tmp_path, change))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: [unclosed", "is not YAML"),
        ("- a list", "holds a list"),
        ("", "holds nothing"),
        ("name: !!python/object/apply:os.system ['true']", "is not YAML"),
    ],
)
def test_a_file_that_is_no_job_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        load_job(file)


def test_a_missing_file_is_named_with_the_nearest_one() -> None:
    with pytest.raises(InputError, match=r"did you mean .*quickstart\.yaml"):
        load_job(QUICKSTART.with_name("quikstart.yaml"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.image_size=224", "image_size is 224: give a list of 2, such as [224, 224]"),
        ("data.image_size=224x224", "image_size is '224x224': give a list of 2"),
        ("data.mean=0.5", "data.mean is 0.5: give a list, such as [0.5]"),
        ("quantization.exclude=fc", "exclude is 'fc': give a list, such as [fc]"),
        ("engines.tensorrt_rtx.batch_sizes=8", "sizes is 8: give a list of 3, such as [8, 8, 8]"),
        ("calibration.seed", "write it as"),
        ("calibration.seed=[", "not YAML"),
        ("name.first=x", "is a value and has no fields"),
    ],
)
def test_a_wrong_override_is_refused(override: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        load_job(QUICKSTART, [override])
