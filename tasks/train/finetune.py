"""Quantization-aware training: the train stage's own loop, from a checkpoint, the best kept."""

import logging
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from schemas.errors import InputError
from schemas.finetune import FinetuneConfig, FinetuneSummary
from schemas.train import Epoch, TrainConfig
from tasks.datasets.dataset import Dataset, Indices, InMemory, Pixels, Split
from tasks.train.images import logits_of
from tasks.train.objective import NearTeacher
from tasks.train.rounding import stop_rounding
from tasks.train.state import StateFile
from tasks.train.train import DivergedError, train

log = logging.getLogger("enginesmith")

HELD_OUT = 2000
"""Training images that epochs are judged on: the test images are for the run's accuracy alone."""
LARGEST_HELD_OUT = 0.2
LOST = 0.1
"""Top-1 below the start from which on a run counts as diverged."""


def finetune(
    rounding: Callable[[], nn.Module],
    teacher: nn.Module,
    images: Dataset,
    config: FinetuneConfig,
    state: StateFile | None = None,
) -> tuple[nn.Module, FinetuneSummary]:
    """Train a network that rounds; it comes back without rounding, with its best weights.

    ``rounding`` makes it, from the FP32 checkpoint, and ``teacher`` is that checkpoint without
    rounding. The start is post-training quantization's own answer and a candidate like every epoch:
    what is kept has the lowest loss on the images held out. A run whose loss is no longer finite,
    or that falls far below where it started, is stopped. An interrupted run goes on from ``state``.
    """
    chosen, held_out = split_off(images, config.seed)
    objective = NearTeacher(teacher, config)
    keeper = _Keeper(config, objective, held_out, state.best if state else None)
    stopped = None
    shared = _train_config(config)
    try:
        _, history = train(rounding, chosen, held_out, shared, state, keeper, objective)
        epochs = history.epochs
    except DivergedError as error:
        stopped, epochs = str(error), tuple(keeper.epochs)
        log.warning("finetune: %s; the best weights until then are kept", error)
    if stopped is None:
        stopped = keeper.stopped
    model = rounding()
    model.load_state_dict(keeper.best)
    stop_rounding(model)
    model.eval()
    summary = FinetuneSummary(
        top1_before=keeper.top1_before,
        epochs=epochs,
        best_epoch=keeper.best_epoch,
        top1=keeper.best_top1,
        loss_before=keeper.loss_before,
        loss=keeper.best_loss,
        stopped=stopped,
    )
    return model, summary


class _Keeper:
    """What the loop asks before and after every epoch: freezes BatchNorm late, keeps the best."""

    def __init__(
        self, config: FinetuneConfig, objective: NearTeacher, held_out: Dataset, file: Path | None
    ) -> None:
        self._config = config
        self._objective = objective
        self._held_out = held_out
        self._file = file
        self._wanted = torch.empty(0)
        self.best: dict[str, torch.Tensor] = {}
        self.best_epoch = 0
        self.best_top1 = self.top1_before = 0.0
        self.best_loss = self.loss_before = math.inf
        self.epochs: list[Epoch] = []
        self.stopped: str | None = None

    def start(self, model: nn.Module, done: list[Epoch]) -> list[Epoch]:
        """Before anything else; gives the epochs that are done.

        Raises InputError where an interrupted run's best weights are gone.
        """
        self._objective.to(next(model.parameters()).device)
        self._wanted, _ = logits_of(self._objective.teacher, self._held_out)
        if done and self._file is not None and self._file.is_file():
            kept = torch.load(self._file, weights_only=True)
            self.best, self.best_epoch = kept["weights"], kept["epoch"]
            self.best_top1, self.top1_before = kept["top1"], kept["top1_before"]
            self.best_loss, self.loss_before = kept["loss"], kept["loss_before"]
            self.epochs = list(done)
            return done
        if done:
            raise InputError(
                "finetune: the best weights of the interrupted run are missing: remove "
                f"{self._file and self._file.parent} and run again"
            )
        self.top1_before, self.loss_before = self._judge(model)
        log.info(
            "finetune: top-1 %.4f, loss %.4g on %d images held out, before the first step",
            self.top1_before,
            self.loss_before,
            len(self._held_out),
        )
        self._keep(model, 0, self.top1_before, self.loss_before)
        return done

    @torch.no_grad()
    def _judge(self, model: nn.Module) -> tuple[float, float]:
        """Top-1 and loss on the images held out, rounding simulated."""
        logits, labels = logits_of(model, self._held_out)
        loss = self._objective.between(self._wanted, logits, labels)
        return (logits.argmax(1) == labels).double().mean().item(), loss.item()

    def before_epoch(self, model: nn.Module, number: int) -> None:
        """The network is in training mode; late epochs leave BatchNorm's statistics alone."""
        if number > self._config.freeze_norm_after * self._config.epochs:
            for module in model.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()

    def after_epoch(self, model: nn.Module, epoch: Epoch) -> bool:
        """Whether to go on."""
        self.epochs.append(epoch)
        top1, loss = self._judge(model)
        log.info("finetune: top-1 %.4f, loss %.4g on the images held out", top1, loss)
        if loss < self.best_loss:
            self._keep(model, epoch.epoch, top1, loss)
        if top1 < self.top1_before - LOST:
            self.stopped = (
                f"top-1 fell from {self.top1_before:.4f} to {top1:.4f} in epoch "
                f"{epoch.epoch}: lower finetune.learning_rate ({self._config.learning_rate:g})"
            )
            log.warning("finetune: %s; the best weights until then are kept", self.stopped)
        return self.stopped is None

    def _keep(self, model: nn.Module, number: int, top1: float, loss: float) -> None:
        self.best = {k: v.detach().cpu().clone() for k, v in model.state_dict().items()}
        self.best_epoch, self.best_top1, self.best_loss = number, top1, loss
        if self._file is None:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        partial = self._file.with_suffix(".partial")
        figures = {"epoch": number, "top1": top1, "loss": loss}
        before = {"top1_before": self.top1_before, "loss_before": self.loss_before}
        torch.save({"weights": self.best, **figures, **before}, partial)
        partial.replace(self._file)


def _train_config(config: FinetuneConfig) -> TrainConfig:
    """The train stage's settings; float32, as rounding has to be."""
    shared = config.model_dump(exclude={"freeze_norm_after", "distillation"})
    return TrainConfig(**shared, precision="float32", cuda_graphs=False)


class _Renumbered:
    """Some of the images of a split, by numbers of their own."""

    def __init__(self, source: Dataset, chosen: Indices) -> None:
        self._source, self._chosen = source, chosen

    def __call__(self, indices: Indices, /) -> Pixels:
        return self._source.pixels(self._chosen[indices])


def split_off(images: Dataset, seed: int) -> tuple[Dataset, Dataset]:
    """The images to train on, and those to judge epochs by: drawn by the seed."""
    order = np.random.default_rng(seed).permutation(len(images)).astype(np.int64)
    held_out = min(HELD_OUT, int(LARGEST_HELD_OUT * len(images)))
    parts = np.sort(order[held_out:]), np.sort(order[:held_out])
    train_part, test_part = (_part(images, part) for part in parts)
    return train_part, test_part


def _part(images: Dataset, chosen: Indices) -> Dataset:
    resident = images.in_memory
    reader = _Renumbered(images, chosen) if resident is None else InMemory(resident[chosen])
    split = Split(reader, images.labels[chosen], images.classes, images.input_shape)
    mean, std = (tuple(map(float, x.ravel())) for x in (images.mean, images.std))
    return Dataset(images.name, split, mean, std)
