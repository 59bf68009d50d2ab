"""What a CUDA session runs: something that queues kernels on a stream."""

from typing import Protocol


class Stream(Protocol):
    """pycuda's stream; its own kernels want it whole, other libraries its ``CUstream`` handle."""

    @property
    def handle(self) -> int: ...


class Executor(Protocol):
    """A network whose input and output lie at addresses in the GPU's memory.

    A TensorRT execution context fits it in three lines, and so does a kernel of one's own. It
    serves one stream and one shape; a session makes one for each.
    """

    def bind(self, shape: tuple[int, ...], input_address: int, output_address: int) -> None:
        """Read images of ``shape`` from one address and write logits to the other from now on."""
        ...

    def enqueue(self, stream: Stream) -> None:
        """Queue one inference on a stream; do not wait for it."""
        ...
