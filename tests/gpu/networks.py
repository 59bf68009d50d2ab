"""Networks that need no TensorRT, as executors of a CUDA session."""

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tasks.runtimes.cuda.executor import Stream

SOURCE = """
extern "C" __global__ void linear(const float* x, const float* w, const float* b, float* y,
                                  int images, int inputs, int outputs, int rectify) {
    int index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= images * outputs) return;
    int image = index / outputs, output = index % outputs;
    float sum = b[output];
    for (int i = 0; i < inputs; ++i) sum += x[image * inputs + i] * w[output * inputs + i];
    y[index] = rectify ? fmaxf(sum, 0.0f) : sum;
}
"""


class Weights:
    """Layers of a multilayer perceptron, random, on the GPU; needs a current context."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        import pycuda.driver as cuda
        from pycuda.compiler import SourceModule

        rng = np.random.default_rng(0)
        self.sizes = sizes
        self.kernel: Any = SourceModule(SOURCE, no_extern_c=True).get_function("linear")
        self.host = [
            (
                (rng.standard_normal((out, into)) / np.sqrt(into)).astype(np.float32),
                rng.standard_normal(out).astype(np.float32),
            )
            for into, out in pairwise(sizes)
        ]
        self.device: list[Any] = [tuple(map(cuda.to_device, layer)) for layer in self.host]

    def expected(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """Logits in double precision."""
        x = images.reshape(len(images), -1).astype(np.float64)
        for index, (w, b) in enumerate(self.host):
            x = x @ w.astype(np.float64).T + b
            if index < len(self.host) - 1:
                x = np.maximum(x, 0)
        return x


class Perceptron:
    """Kernels of our own, launched by pycuda."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights

    def bind(self, shape: tuple[int, ...], input_address: int, output_address: int) -> None:
        import pycuda.driver as cuda

        self.images = shape[0]
        inner = self.weights.sizes[1:-1]
        self.hidden = [cuda.mem_alloc(4 * self.images * size) for size in inner]
        self.addresses = [input_address, *map(int, self.hidden), output_address]

    def enqueue(self, stream: Stream) -> None:
        sizes = self.weights.sizes
        for index, (w, b) in enumerate(self.weights.device):
            into, out = sizes[index], sizes[index + 1]
            self.weights.kernel(
                np.uintp(self.addresses[index]),
                w,
                b,
                np.uintp(self.addresses[index + 1]),
                np.int32(self.images),
                np.int32(into),
                np.int32(out),
                np.int32(index < len(sizes) - 2),
                block=(128, 1, 1),
                grid=((self.images * out + 127) // 128, 1),
                stream=stream,
            )


class _Memory:
    """Foreign memory in the way that torch takes it over without a copy."""

    def __init__(self, address: int, shape: tuple[int, ...]) -> None:
        self.__cuda_array_interface__ = {
            "shape": shape,
            "typestr": "<f4",
            "data": (address, False),
            "version": 3,
        }


class TorchModule:
    """A torch network on pycuda's stream, in pycuda's memory."""

    def __init__(self, module: nn.Module, classes: int) -> None:
        self.module, self.classes = module.cuda().eval(), classes

    def bind(self, shape: tuple[int, ...], input_address: int, output_address: int) -> None:
        self.images: Tensor = torch.as_tensor(_Memory(input_address, shape), device="cuda")
        self.logits: Tensor = torch.as_tensor(
            _Memory(output_address, (shape[0], self.classes)), device="cuda"
        )

    def enqueue(self, stream: Stream) -> None:
        with torch.inference_mode(), torch.cuda.stream(torch.cuda.ExternalStream(stream.handle)):
            self.logits.copy_(self.module(self.images))
