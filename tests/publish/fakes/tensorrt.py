"""TensorRT's interface, for plans that are the words ``SMALLEST LARGEST [fails] [compatible]``.

The network takes so many grey images of 2x2 and answers their brightness: the first of four classes
below 64, the last from 192. Like TensorRT it says False, and why on stderr, where it does nothing.
"""

import sys
from typing import Any

import numpy as np
from pycuda import driver


def _complain(text: str) -> bool:
    print(f"[TRT] [E] {text}", file=sys.stderr)
    return False


class Logger:
    WARNING = 1

    def __init__(self, level: int) -> None:
        assert level == self.WARNING


class TensorIOMode:
    INPUT = "INPUT"
    OUTPUT = "OUTPUT"


class Execution:
    def __init__(self, network: "Network") -> None:
        self.network = network
        self.addresses: dict[str, int] = {}
        self.batch = 0

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert name == "images"
        lowest, _, highest = self.network.get_tensor_profile_shape(name, 0)
        if not all(a <= b <= c for a, b, c in zip(lowest, shape, highest, strict=True)):
            return _complain("set dimension outside of the profile")
        self.batch = shape[0]
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        assert name == "logits"
        return (self.batch or -1, 4)

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == 77
        if self.network.fails or not self.batch:
            return _complain("no memory")
        print(f"ran {self.batch}", file=sys.stderr)
        images: Any = driver.memory[self.addresses["images"]]
        logits = np.eye(4, dtype=np.float32)[(images.mean(axis=(1, 2, 3)) * 4).astype(int)]
        driver.memory[self.addresses["logits"]] = logits
        return True


class Network:
    num_io_tensors = 2

    def __init__(self, smallest: str, largest: str, *words: str) -> None:
        self.batches = (int(smallest), int(smallest), int(largest))
        self.fails = "fails" in words

    def get_tensor_name(self, index: int) -> str:
        return ("images", "logits")[index]

    def get_tensor_mode(self, name: str) -> str:
        return TensorIOMode.INPUT if name == "images" else TensorIOMode.OUTPUT

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (-1, 1, 2, 2) if name == "images" else (-1, 4)

    def get_tensor_profile_shape(self, name: str, index: int) -> list[tuple[int, ...]]:
        assert (name, index) == ("images", 0)
        return [(batch, 1, 2, 2) for batch in self.batches]

    def create_execution_context(self) -> Execution:
        return Execution(self)


class Runtime:
    engine_host_code_allowed = False

    def __init__(self, logger: Logger) -> None:
        del logger

    def deserialize_cuda_engine(self, plan: bytes) -> Network | None:
        words = plan.decode().split()
        if "compatible" in words and not self.engine_host_code_allowed:
            _complain("Cannot deserialize engine with lean runtime without host code allowed")
            return None
        return Network(*words) if words[0].isdecimal() else None
