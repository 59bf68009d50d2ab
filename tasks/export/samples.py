"""Images, and torch's answers for them, that later forms of a network are held against."""

import numpy as np
import torch
from safetensors.numpy import save
from torch import nn

from tasks.datasets.dataset import Dataset


@torch.inference_mode()
def parity_samples(
    float32: nn.Module, int8: nn.Module, images: Dataset, count: int, seed: int
) -> bytes:
    """A safetensors file of ``images`` float32[N, C, H, W], ``logits_float32`` and ``logits_int8``.

    Logits are float32[N, classes]; N is ``count``, or as many images as there are. They are drawn
    at random, in an order that the seed fixes.
    """
    order = np.random.default_rng(seed).permutation(len(images)).astype(np.int64)
    batch = images.images(order[:count])
    tensor = torch.from_numpy(batch)
    return save(
        {
            "images": batch,
            "logits_float32": float32(tensor).numpy(),
            "logits_int8": int8(tensor).numpy(),
        }
    )
