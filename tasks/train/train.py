"""Training a classifier: seeded, resumable, on a CPU or a GPU."""

import logging
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn

from schemas.errors import InputError
from schemas.train import Epoch, TrainConfig, TrainingHistory
from tasks.datasets.dataset import Dataset
from tasks.progress import track
from tasks.train.augment import augment, cutout
from tasks.train.device import autocast, choose_device, choose_precision, device_name, tuned
from tasks.train.graphed import graphed
from tasks.train.images import Images
from tasks.train.objective import Objective
from tasks.train.schedule import one_cycle
from tasks.train.state import StateFile

log = logging.getLogger("enginesmith")

STEPS_PER_CHECK = 50
"""How often the loss is looked at: on a GPU each look waits for all that was queued."""


class DivergedError(InputError):
    """The loss stopped being finite."""


class Watcher(Protocol):
    """Somebody who looks on, such as at fine-tuning."""

    def start(self, model: nn.Module, done: list[Epoch]) -> list[Epoch]:
        """Before the first epoch, on the device; the epochs that are done."""
        ...

    def before_epoch(self, model: nn.Module, number: int) -> None:
        """The network was just put into training mode."""
        ...

    def after_epoch(self, model: nn.Module, epoch: Epoch) -> bool:
        """The network is in evaluation mode; False ends the training."""
        ...


def train(
    build: Callable[[], nn.Module],
    train_set: Dataset,
    test_set: Dataset,
    config: TrainConfig,
    state: StateFile | None = None,
    watcher: Watcher | None = None,
    objective: Objective | None = None,
) -> tuple[nn.Module, TrainingHistory]:
    """Build a network and train it; the network comes back in evaluation mode on the CPU.

    The seed fixes initial weights, order, augmentation and dropout: the same job on the same CPU
    and threads gives the same weights, and so does one interrupted and continued from ``state``.
    A GPU's sums vary from run to run. ``objective`` takes the place of the labels' cross-entropy.

    Of a tuple that a network with auxiliary heads gives while it trains, the first is its logits.
    Raises InputError where the network does not take the images, does not give one logit per class,
    or the loss stops being finite (DivergedError).
    """
    device = choose_device(config)
    precision = choose_precision(config, device)
    with _seeded(config.seed, device), tuned(device):
        model = build()
        _check_fit(model, train_set)
        run = _Run(model, train_set, config, device, precision)
        if objective is not None:
            run.objective = objective
        test = Images(test_set, device)
        done = state.restore(model, run.optimizer) if state else []
        if watcher is not None:
            done = watcher.start(model, done)
            run.before_epoch = watcher.before_epoch
        if done:
            log.info("continuing after epoch %d of %d", len(done), config.epochs)
        for number in range(len(done) + 1, config.epochs + 1):
            loss, seconds = run.epoch(number)
            done.append(
                Epoch(
                    epoch=number,
                    loss=loss,
                    top1=_top1(model, test),
                    learning_rate=run.learning_rate,
                    images_per_second=run.images_per_epoch / seconds,
                    seconds=seconds,
                )
            )
            _report(done, config.epochs)
            go_on = watcher is None or watcher.after_epoch(model, done[-1])
            if state:
                state.save(model, run.optimizer, done)
            if not go_on:
                break
    history = TrainingHistory(
        device=device_name(device),
        precision=str(precision).removeprefix("torch."),
        parameters=sum(p.numel() for p in model.parameters()),
        train_images=len(train_set),
        test_images=len(test_set),
        epochs=tuple(done),
    )
    model.cpu().to(memory_format=torch.contiguous_format)
    model.eval()  # Not in the line above: a network's own train() may return nothing.
    return model, history


class _Run:
    """A network with its optimizer and images on the device."""

    def __init__(
        self,
        model: nn.Module,
        dataset: Dataset,
        config: TrainConfig,
        device: torch.device,
        precision: torch.dtype,
    ) -> None:
        # In place: the caller keeps its reference. Channels last is the layout that both oneDNN
        # and tensor cores compute in.
        self.model = model.to(device).to(memory_format=torch.channels_last)
        self.images = Images(dataset, device)
        self.classes = len(dataset.classes)
        self.config = config
        self.device = device
        self.precision = precision
        self.batch = min(config.batch_size, len(dataset))
        # A short last batch would give BatchNorm poor statistics; another order leaves out others.
        self.steps = len(dataset) // self.batch
        self.images_per_epoch = self.steps * self.batch
        self.learning_rate = 0.0
        self.before_epoch: Callable[[nn.Module, int], None] = lambda *_: None
        self.objective: Objective = self._labels_loss
        self.forward: Callable[[Tensor], object] = self.model
        if device.type == "cuda" and config.cuda_graphs:
            images = self.images.raw(torch.arange(self.batch, device=device))
            self.forward = graphed(self.model, self.images.normalised(images), precision)
        weights = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
        others = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
        self.optimizer = torch.optim.SGD(
            [
                {"params": weights, "weight_decay": config.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=config.learning_rate,
            momentum=config.momentum,
            nesterov=config.momentum > 0,
        )

    def epoch(self, number: int) -> tuple[float, float]:
        """One pass over the images: mean loss and seconds."""
        config = self.config
        # Seeds that depend on the epoch alone: there is no generator's state to save.
        seed = config.seed * 1_000_003 + number
        torch.manual_seed(seed)
        generator = torch.Generator(self.device).manual_seed(seed)
        order = torch.randperm(len(self.images.labels), device=self.device, generator=generator)
        total = torch.zeros((), device=self.device)
        first = (number - 1) * self.steps
        self.model.train()
        self.before_epoch(self.model, number)
        started = time.perf_counter()
        for step in _shown(self.steps, f"epoch {number} of {config.epochs}"):
            self.learning_rate = one_cycle(
                first + step, config.epochs * self.steps, config.learning_rate
            )
            for group in self.optimizer.param_groups:
                group["lr"] = self.learning_rate
            indices = order[step * self.batch : (step + 1) * self.batch]
            raw = self.images.raw(indices)
            raw = augment(raw, config.crop_padding_px, config.horizontal_flip, generator)
            images = self.images.normalised(raw)
            if config.cutout_px:
                images = cutout(images, config.cutout_px, generator)
            loss = self._step(images, self.images.labels[indices])
            total += loss
            if step % STEPS_PER_CHECK == 0 or step == self.steps - 1:
                self._check_loss(total.item(), number)
        return total.item() / self.steps, time.perf_counter() - started

    def _step(self, images: Tensor, labels: Tensor) -> Tensor:
        with autocast(self.device, self.precision):
            logits = _first_output(self.forward(images), self.classes)
            loss = self.objective(images, logits, labels)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach()

    def _labels_loss(self, _: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        smoothing = self.config.label_smoothing
        return nn.functional.cross_entropy(logits, labels, label_smoothing=smoothing)

    def _check_loss(self, loss: float, epoch: int) -> None:
        if not math.isfinite(loss):
            raise DivergedError(
                f"training diverged: the loss is {loss} in epoch {epoch} at learning rate "
                f"{self.learning_rate:.3g}: lower train.learning_rate "
                f"({self.config.learning_rate:g})"
            )


def _first_output(answer: object, classes: int) -> Tensor:
    """The logits of a network in training, auxiliary heads' left out: float32[N, classes]."""
    logits = answer[0] if isinstance(answer, tuple) else answer
    if not isinstance(logits, Tensor) or logits.shape[1:] != (classes,):
        shape = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise InputError(
            f"the network gives {shape} while it trains, and not the logits of {classes} classes, "
            "or a tuple of which they are the first: name a factory whose network does"
        )
    return logits


def _top1(model: nn.Module, images: Images) -> float:
    """Share of the test images whose largest logit is their label's, in float32."""
    model.eval()
    right = torch.zeros((), dtype=torch.int64, device=images.device)
    with torch.inference_mode():
        for indices in torch.split(torch.arange(len(images.labels), device=images.device), 500):
            logits = model(images.normalised(images.raw(indices)))
            right += (logits.argmax(1) == images.labels[indices]).sum()
    return right.item() / len(images.labels)


def _check_fit(model: nn.Module, dataset: Dataset) -> None:
    model.eval()
    try:
        with torch.inference_mode():
            logits = model(torch.zeros(1, *dataset.input_shape))
    except (RuntimeError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"the network does not take images of {list(dataset.input_shape)} (channels, height, "
            f"width): {reason}: check model.kwargs and data.image_size"
        ) from error
    classes = len(dataset.classes)
    if not isinstance(logits, Tensor) or logits.shape != (1, classes):
        shape = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise InputError(
            f"the network gives {shape} for an image, and {dataset.name} has {classes} classes: "
            "check model.kwargs, such as num_classes"
        )


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Torch's own generators seeded, and as they were afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _shown(steps: int, label: str) -> Iterator[int]:
    """The steps of an epoch: a bar on a terminal, else a line a minute."""
    if sys.stderr.isatty():
        yield from track(range(steps), label, steps)
        return
    last = time.monotonic()
    for step in range(steps):
        yield step
        if time.monotonic() - last > 60:
            last = time.monotonic()
            log.info("%s: %d of %d steps", label, step + 1, steps)


def _report(done: list[Epoch], epochs: int) -> None:
    last = done[-1]
    remaining_s = last.seconds * (epochs - last.epoch)
    log.info(
        "epoch %d of %d: loss %.4f, top-1 %.4f, %.0f images/s, %d:%02d min left",
        last.epoch,
        epochs,
        last.loss,
        last.top1,
        last.images_per_second,
        *divmod(round(remaining_s), 60),
    )
