"""What a network that rounds is trained for: the FP32 network's answers, the labels, or both.

Source: Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network" (arXiv:1503.02531);
Mishra, Marr, "Apprentice" (arXiv:1711.05852), for a teacher in full precision.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from schemas.finetune import FinetuneConfig

Objective = Callable[[Tensor, Tensor, Tensor], Tensor]
"""A batch's loss from its images, the network's logits and the labels."""


class NearTeacher(nn.Module):
    """``distillation`` times the distance to a teacher's answers, the rest the labels' loss.

    The distance is the Kullback-Leibler divergence of the network's probabilities from the
    teacher's, at temperature 1: 0 where both answer alike.
    """

    def __init__(self, teacher: nn.Module, config: FinetuneConfig) -> None:
        super().__init__()
        self.teacher = copy.deepcopy(teacher).requires_grad_(False)
        self.teacher.eval()
        self._share = config.distillation
        self._smoothing = config.label_smoothing

    def forward(self, images: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """The mean over a batch: images float32[N, C, H, W], logits float32[N, classes]."""
        if not self._share:
            return self.between(logits, logits, labels)
        with torch.no_grad():
            wanted = self.teacher(images)
        return self.between(wanted, logits, labels)

    def between(self, wanted: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """The same where the teacher's answers are known: ``wanted: float32[N, classes]``."""
        loss = torch.zeros((), device=logits.device)
        if self._share:
            loss = loss + self._share * nn.functional.kl_div(
                logits.log_softmax(1), wanted.log_softmax(1), reduction="batchmean", log_target=True
            )
        if self._share < 1:
            loss = loss + (1 - self._share) * nn.functional.cross_entropy(
                logits, labels, label_smoothing=self._smoothing
            )
        return loss
