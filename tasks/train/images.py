"""A dataset on the device that a network is trained or asked on."""

import torch
from torch import Tensor, nn

from tasks.datasets.dataset import Dataset, Pixels


class Images:
    """A dataset's images, on the device as a whole where they are in memory anyway."""

    def __init__(self, dataset: Dataset, device: torch.device) -> None:
        self.dataset = dataset
        self.device = device
        self.labels = torch.from_numpy(dataset.labels).to(device)
        self.mean = torch.from_numpy(dataset.mean).to(device)
        self.std = torch.from_numpy(dataset.std).to(device)
        resident = dataset.in_memory
        self.pixels = None if resident is None else _tensor(resident).to(device)

    def raw(self, indices: Tensor) -> Tensor:
        """``[n, C, H, W]`` on the device, not normalised; ``indices: int64[n]`` lies there too."""
        if self.pixels is not None:
            return self.pixels[indices]
        return _tensor(self.dataset.pixels(indices.cpu().numpy())).to(self.device)

    def normalised(self, raw: Tensor) -> Tensor:
        """``float32[n, C, H, W]``, channels last."""
        images = raw.to(torch.float32).div_(255) if raw.dtype == torch.uint8 else raw
        return ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def logits_of(model: nn.Module, images: Dataset) -> tuple[Tensor, Tensor]:
    """A dataset's logits float32[N, classes] and labels int64[N], on the network's device."""
    model.eval()
    shown = Images(images, next(model.parameters()).device)
    parts = torch.split(torch.arange(len(shown.labels), device=shown.device), 500)
    return torch.cat([model(shown.normalised(shown.raw(part))) for part in parts]), shown.labels


def _tensor(pixels: Pixels) -> Tensor:
    # Arrays read from files may be read-only, which torch warns of; nothing here writes to them.
    return torch.from_numpy(pixels if pixels.flags.writeable else pixels.copy())
