"""Training on with rounding: the best is kept, divergence ends it, interruption does not."""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from schemas.convert import QuantizationConfig
from schemas.errors import InputError
from schemas.finetune import FinetuneConfig
from schemas.train import Epoch, TrainConfig
from tasks.datasets.dataset import Dataset
from tasks.models.eager import convert_with_table
from tasks.train import train as training
from tasks.train.finetune import _Keeper, finetune, split_off
from tasks.train.images import logits_of
from tasks.train.objective import NearTeacher
from tasks.train.rounding import simulate_rounding, stop_rounding
from tasks.train.state import StateFile

CONFIG = QuantizationConfig(mode="eager", observer="minmax")
QUICK = FinetuneConfig(
    epochs=2,
    batch_size=50,
    learning_rate=0.01,
    crop_padding_px=0,
    horizontal_flip=False,
    device="cpu",
)


@pytest.fixture(scope="module")
def learned(clothes: Callable[[str, int], Dataset]) -> nn.Module:
    """A network that knows something of clothes."""
    from tests.train.conftest import small

    config = TrainConfig(
        epochs=3,
        batch_size=50,
        crop_padding_px=0,
        horizontal_flip=False,
        device="cpu",
        precision="float32",
    )
    network, history = training.train(small, clothes("train", 1500), clothes("test", 300), config)
    assert history.epochs[-1].top1 > 0.5
    return network


@pytest.fixture
def images(clothes: Callable[[str, int], Dataset]) -> Dataset:
    return clothes("train", 1500)


def coarse(network: nn.Module, images: Dataset) -> Callable[[], nn.Module]:
    """Activations clipped where they should not be, so that there is something to mend."""
    batch = torch.from_numpy(images.images(np.arange(64)))
    clipped = CONFIG.model_copy(update={"observer": "percentile", "percentile": 98.0})
    return lambda: simulate_rounding(copy.deepcopy(network), [batch], clipped)


def rounding_of(network: nn.Module, images: Dataset) -> Callable[[], nn.Module]:
    batch = torch.from_numpy(images.images(np.arange(64)))
    return lambda: simulate_rounding(copy.deepcopy(network), [batch], CONFIG)


def test_rounding_is_what_int8_does_and_can_be_taken_off(
    learned: nn.Module, images: Dataset
) -> None:
    from tasks.calibrate.observe import observe

    batch = torch.from_numpy(images.images(np.arange(64)))
    rounded = rounding_of(learned, images)()
    table = observe(learned, [batch], CONFIG, images_sha256="")
    int8 = convert_with_table(learned, CONFIG, table)
    with torch.no_grad():
        plain, simulated, real = learned(batch), rounded(batch), int8(batch)
    noise = (real - plain).square().mean()
    assert (simulated - plain).square().mean() > 0.2 * noise
    assert (simulated - real).square().mean() < 2 * noise
    bare = stop_rounding(rounded)
    assert bare.state_dict().keys() == learned.state_dict().keys()
    assert torch.equal(bare(batch), plain)


def test_finetuning_is_at_least_as_near_as_the_start_and_gives_a_plain_checkpoint(
    learned: nn.Module, images: Dataset
) -> None:
    network, summary = finetune(rounding_of(learned, images), learned, images, QUICK)
    assert network.state_dict().keys() == learned.state_dict().keys()
    assert summary.loss <= summary.loss_before
    assert len(summary.epochs) == 2
    assert summary.stopped is None
    assert not network.training


def test_answers_come_nearer_to_those_of_the_fp32_network(
    learned: nn.Module, images: Dataset
) -> None:
    """On images that were not trained on; nobody answers their labels, so that nearness decides."""
    logits, _ = logits_of(learned, images)
    images.labels = logits.argmin(1).numpy()
    _, held_out = split_off(images, QUICK.seed)
    gentle = QUICK.model_copy(update={"learning_rate": 0.002})
    network, summary = finetune(coarse(learned, images), learned, images, gentle)
    assert summary.best_epoch > 0
    wanted, _ = logits_of(learned, held_out)
    before, _ = logits_of(coarse(learned, images)(), held_out)
    after, _ = logits_of(coarse(network, images)(), held_out)
    assert (after - wanted).square().mean() < 0.7 * (before - wanted).square().mean()


def test_what_is_nearest_is_kept_whichever_labels_it_happens_to_hit(
    learned: nn.Module, images: Dataset
) -> None:
    keeper = _Keeper(QUICK, NearTeacher(learned, QUICK), images, None)
    network = rounding_of(learned, images)()
    keeper.start(network, [])
    top1, loss = keeper.top1_before, keeper.loss_before
    judged = iter([(top1 + 0.01, 1.1 * loss), (top1 - 0.001, loss / 2), (top1, loss / 1.5)])
    keeper._judge = lambda model: next(judged)  # type: ignore[method-assign]  # noqa: ARG005
    done = Epoch(epoch=1, loss=1, top1=top1, learning_rate=0.1, images_per_second=1.0, seconds=1.0)
    kept = []
    for number in (1, 2, 3):
        keeper.after_epoch(network, done.model_copy(update={"epoch": number}))
        kept.append(keeper.best_epoch)
    assert kept == [0, 2, 2]


@pytest.mark.parametrize("rate", [1e30, 3.0])
def test_a_run_that_diverges_is_stopped_and_the_best_is_kept(
    learned: nn.Module, images: Dataset, rate: float
) -> None:
    wild = QUICK.model_copy(update={"learning_rate": rate, "epochs": 4, "momentum": 0.0})
    network, summary = finetune(rounding_of(learned, images), learned, images, wild)
    assert summary.stopped is not None
    assert len(summary.epochs) < 4
    assert summary.loss <= summary.loss_before
    if summary.best_epoch == 0:
        assert all(torch.equal(v, learned.state_dict()[k]) for k, v in network.state_dict().items())


def test_an_interrupted_run_goes_on_and_ends_the_same(
    learned: nn.Module, images: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounding = rounding_of(learned, images)
    wanted, whole = finetune(rounding, learned, images, QUICK, StateFile(tmp_path / "a.pt", "a"))
    real, calls = training._Run.epoch, []

    def stopping(self: training._Run, number: int) -> tuple[float, float]:
        calls.append(number)
        if number == 2 and calls.count(2) == 1:
            raise KeyboardInterrupt
        return real(self, number)

    monkeypatch.setattr(training._Run, "epoch", stopping)
    state = StateFile(tmp_path / "b.pt", "b")
    with pytest.raises(KeyboardInterrupt):
        finetune(rounding, learned, images, QUICK, state)
    resumed, summary = finetune(rounding, learned, images, QUICK, state)
    assert calls == [1, 2, 2]
    assert summary.top1_before == whole.top1_before
    assert summary.best_epoch == whole.best_epoch
    for name, value in wanted.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name])
    # Killed before its checkpoint was stored, it trains no more and answers the same.
    again, summary = finetune(rounding, learned, images, QUICK, state)
    assert calls == [1, 2, 2]
    assert summary.best_epoch == whole.best_epoch
    for name, value in wanted.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    state.remove()
    assert not list(tmp_path.glob("b.*"))


def test_batchnorm_keeps_its_statistics_late(learned: nn.Module, images: Dataset) -> None:
    network = copy.deepcopy(learned)
    config = QUICK.model_copy(update={"epochs": 4, "freeze_norm_after": 0.5})
    keeper = _Keeper(config, NearTeacher(learned, config), images, None)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for number, frozen in ((2, False), (3, True)):
        network.train()
        keeper.before_epoch(network, number)
        assert all(norm.training is not frozen for norm in norms)


def test_epochs_are_judged_on_images_that_are_not_trained_on(images: Dataset) -> None:
    chosen, held_out = split_off(images, seed=0)
    assert (len(chosen), len(held_out)) == (1200, 300)
    everything = np.arange(len(images))
    digests = images.content_digests(everything)
    parts = [part.content_digests(np.arange(len(part))) for part in (chosen, held_out)]
    assert sorted([*parts[0], *parts[1]]) == sorted(digests)


def test_a_job_that_quantizes_nothing_is_refused(learned: nn.Module) -> None:
    with pytest.raises(InputError, match="finetune: the job quantizes no layer"):
        simulate_rounding(learned, [], CONFIG.model_copy(update={"exclude": ("*",)}))
