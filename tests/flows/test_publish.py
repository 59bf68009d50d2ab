"""The build flow publishes what passed, and nothing else."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from schemas.data import DataConfig, FashionMnist
from tasks.datasets.open import open_dataset
from tasks.evaluate.predict import measured_on
from tasks.publish.latest import latest_folder, read_pointer
from tests.flows.conftest import Workshop, small_job

FOLDER = {"formats": ["folder", "triton"]}


def test_a_run_publishes_a_script_that_answers_as_the_engine_was_evaluated(
    warm: Workshop, tmp_path_factory: pytest.TempPathFactory
) -> None:
    result = warm.run(small_job(publish=FOLDER))
    assert result.publication is not None
    assert result.publication.promoted
    folder = latest_folder(warm.store, "small")
    assert folder == warm.root / result.publication.key
    assert (folder / "triton/small-openvino/1/model.xml").is_file()
    assert warm.report(result).package is not None
    shown = warm.store.open(result.markdown).read_text(encoding="utf-8")
    assert f"Version `{result.publication.version}` as folder and triton" in shown
    page = warm.store.open(result.page).read_text(encoding="utf-8")
    assert f"Published as version <code>{result.publication.version}</code>" in page

    images = tmp_path_factory.mktemp("images")
    test = open_dataset(DataConfig(fashion_mnist=FashionMnist()), "test")
    for index, pixels in enumerate(test.pixels(measured_on(len(test), 300)[:40])):
        Image.fromarray(pixels[0]).save(images / f"{index:03}.png")
    done = subprocess.run(
        [sys.executable, "-P", folder / "folder/infer.py", images, "--json"],
        cwd=images,
        env={"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    answers = [item["top"][0]["label"] for item in json.loads(done.stdout)]
    assert answers == evaluated(warm)[:40]


def evaluated(workshop: Workshop) -> list[int]:
    """The engine's labels as the evaluation stored them: of all stored logits, the engine's."""
    from tasks.runtimes.plans import open_plan

    test = open_dataset(small_job().data, "test")
    plan = open_plan(workshop.root / "runs/small/openvino.plan")
    logits = plan.infer(test.images(measured_on(len(test), 300)))
    stored = [
        load_file(x)["logits"]
        for x in workshop.root.glob("objects/*/*.safetensors")
        if "logits" in load_file(x)
    ]
    assert any(np.allclose(x, logits, atol=1e-4) for x in stored if x.shape == logits.shape)
    return [int(label) for label in logits.argmax(axis=1)]


def test_a_run_that_fails_a_gate_leaves_latest_where_it_was(warm: Workshop) -> None:
    warm.run(small_job(publish=FOLDER))
    before = read_pointer(warm.store, "small")
    failed = warm.run(small_job(publish={"formats": ["folder"]}, accuracy={"min_top1": 0.999}))
    assert failed.publication is not None
    assert not failed.publication.promoted
    assert "latest stays where it was" in (failed.publication.reason or "")
    assert read_pointer(warm.store, "small") == before
    text = warm.store.open(failed.markdown).read_text(encoding="utf-8")
    assert "Nothing: a gate failed" in text
    page = warm.store.open(failed.page).read_text(encoding="utf-8")
    assert "Not published: a gate failed" in page


def test_a_job_without_a_publish_section_publishes_nothing(warm: Workshop) -> None:
    assert warm.run(small_job()).publication is None
    assert not (warm.root / "published").exists()
