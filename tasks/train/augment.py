"""Random crops and flips of a whole batch at once, on whichever device it lies."""

import torch
from torch import Generator, Tensor


def augment(images: Tensor, padding_px: int, flip: bool, generator: Generator) -> Tensor:
    """Each image padded with zeros, cut at a random place, and mirrored with probability 1/2.

    ``images: [N, C, H, W]`` of any type; the result is alike. Source: the CIFAR training of He et
    al. (arXiv:1512.03385, section 4.2).
    """
    count, _, height, width = images.shape
    device = images.device
    padded = torch.nn.functional.pad(images, (padding_px,) * 4) if padding_px else images
    span = 2 * padding_px + 1
    offsets = torch.randint(0, span, (2, count, 1), device=device, generator=generator)
    rows = offsets[0] + torch.arange(height, device=device)
    columns = torch.arange(width, device=device).expand(count, width)
    if flip:
        mirrored = torch.rand((count, 1), device=device, generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    columns = columns + offsets[1]
    # One gather for crop and flip: the indices broadcast to [N, H, W], channels stay whole.
    image = torch.arange(count, device=device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None, :]].permute(
        0, 3, 1, 2
    )


def cutout(images: Tensor, side_px: int, generator: Generator) -> Tensor:
    """Normalised images with a square set to zero, the mean, at a random place of each.

    ``images: float32[N, C, H, W]`` keep their layout. The square's centre is anywhere in the image,
    so that part of it may lie outside. Source: DeVries, Taylor (arXiv:1708.04552).
    """
    count, _, height, width = images.shape
    device = images.device
    inside = []
    for size in (height, width):
        centre = torch.randint(0, size, (count, 1), device=device, generator=generator)
        start = centre - side_px // 2
        place = torch.arange(size, device=device)
        inside.append((place >= start) & (place < start + side_px))
    rows, columns = inside
    # A product, as masked_fill gives another layout.
    return images * ~(rows[:, :, None] & columns[:, None, :])[:, None]
