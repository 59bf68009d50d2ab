"""OpenVINO on the CPU: the engine for machines without a GPU.

A plan is OpenVINO's IR, ``model.xml`` and ``model.bin``, in one uncompressed ZIP file. The blob of
``export_model()`` would load as well, but its shapes are fixed for good: either dynamic, which
doubles ResNet-18's latency, or one batch size. IR is compiled for each batch size it meets.
"""

import io
import re
import tempfile
import time
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from schemas.base import Strict, Target
from schemas.engine import Manifest, TensorInfo
from schemas.errors import InputError
from tasks.runtimes.batches import check_images, infer_in_batches
from tasks.runtimes.clock import time_calls
from tasks.runtimes.openvino_layers import layer_table
from tasks.runtimes.processor import cpu
from tasks.runtimes.protocol import Build, Phases
from tasks.versions import installed_version

# A fixed date keeps plans of the same graph equal byte by byte.
_EPOCH = (1980, 1, 1, 0, 0, 0)
Hint = Literal["f32", "f16"]
# Compiled batch sizes kept at a time: the usual one, and the rest of a test set.
_KEPT_SHAPES = 2


class OpenVinoRuntime:
    target: Target = "openvino"

    def fingerprint(self) -> dict[str, str]:
        found = installed_version("openvino", "OpenVINO", "pip install openvino")
        return {"openvino": found, **cpu()}

    def check(self, manifest: Manifest) -> None:
        """Nothing to refuse: its IR is compiled anew wherever it is opened."""

    def build(self, graph: Path, plan: Path, options: Strict) -> Build:  # noqa: ARG002
        """Convert the ONNX file, compile it for one image to learn its layers, write the IR."""
        import openvino as ov

        start = time.perf_counter()
        core = ov.Core()
        try:
            model: Any = core.read_model(graph)
        except RuntimeError as error:
            raise InputError(
                f"OpenVINO cannot read {graph.name} ({_last_line(error)}): export it again"
            ) from error
        inputs, outputs = _tensors(model.inputs), _tensors(model.outputs)
        _name_by_place(model)
        with tempfile.TemporaryDirectory() as folder:
            xml = Path(folder) / "model.xml"
            ov.save_model(model, xml, compress_to_fp16=False)
            _pack(plan, xml, xml.with_suffix(".bin"))
        _fix_one_image(model)
        compiled = core.compile_model(model, "CPU", _properties(threads=0, precision=_hint(model)))
        layers = layer_table(compiled.get_runtime_model(), graph)
        return Build(
            inputs=inputs,
            outputs=outputs,
            layers=layers,
            build_s=time.perf_counter() - start,
            peak_memory_bytes=None,
        )

    def cannot_run(self) -> str | None:
        return None

    def open(
        self,
        plan: Path,
        *,
        threads: int = 0,
        manifest: Manifest | None = None,  # noqa: ARG002
    ) -> "OpenVinoSession":
        """Load a plan. Raises InputError where the file is not one, or is damaged."""
        return OpenVinoSession(plan, threads=threads)


class OpenVinoSession:
    """A loaded plan, compiled anew for each batch size that it meets.

    ``precision`` is what unquantized layers compute in; left out: float16 where the plan's network
    is in it and the processor has such arithmetic, else float32.
    """

    def __init__(self, plan: Path, *, threads: int, precision: Hint | None = None) -> None:
        import openvino as ov

        self._core: Any = ov.Core()
        self._tensor: Any = ov.Tensor
        self._xml, self._weights = _unpack(plan)
        try:
            model = self._read()
        except RuntimeError as error:
            raise InputError(
                f"OpenVINO cannot load plan {plan.name} ({_last_line(error)}): build it again"
            ) from error
        self._properties = _properties(threads, precision or _hint(model))
        self.inputs, self.outputs = _tensors(model.inputs), _tensors(model.outputs)
        self._requests: dict[tuple[int, ...], Any] = {}

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits ``float32[N, classes]`` of images ``float32[N, C, H, W]``."""
        batch = check_images(batch, self.inputs[0].shape, "the plan")
        size = self.inputs[0].shape[0]
        return self._call(batch) if size < 0 else infer_in_batches(batch, size, self._call)

    def time(self, batch: NDArray[np.float32], calls: int) -> NDArray[np.float64]:
        """Milliseconds of each of ``calls`` calls on a tensor set once: ``float64[calls]``."""
        return time_calls(self._repeated(batch), calls)

    def time_phases(self, batch: NDArray[np.float32], calls: int) -> Phases:
        """What OpenVINO's own code takes of as many further calls; benchmark_app prints that."""
        call, request = self._repeated(batch), self._request(batch.shape)
        compute = np.empty(calls)
        for index in range(calls):
            call()
            compute[index] = request.latency
        return Phases(compute)

    def throughput(self, batch: NDArray[np.float32], calls: int) -> float:
        """Images a second over ``calls`` calls, as many under way as OpenVINO finds best."""
        from openvino import AsyncInferQueue

        batch = check_images(batch, self.inputs[0].shape, "the plan", exact=True)
        model = self._read()
        _fix_batch(model, batch.shape)
        streams = {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": "AUTO"}
        compiled = self._core.compile_model(model, "CPU", {**self._properties, **streams})
        queue: Any = AsyncInferQueue(compiled)
        tensor = self._tensor(batch, shared_memory=True)
        for request in queue:
            request.set_input_tensor(0, tensor)

        def run(number: int) -> None:
            for _ in range(number):
                queue.start_async()
            queue.wait_all()

        run(len(queue))
        took_ms = float(time_calls(partial(run, calls), 1)[0])
        return calls * len(batch) * 1000 / took_ms

    def _repeated(self, batch: NDArray[np.float32]) -> Callable[[], object]:
        """A call without arguments, on a tensor that is set once."""
        batch = check_images(batch, self.inputs[0].shape, "the plan", exact=True)
        request = self._request(batch.shape)
        request.set_input_tensor(0, self._tensor(batch, shared_memory=True))
        # Answers are looked at where they are: without this each call copies them.
        return partial(request.infer, share_outputs=True)

    def _call(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        request = self._request(batch.shape)
        request.set_input_tensor(0, self._tensor(batch, shared_memory=True))
        request.infer()
        return np.array(request.get_output_tensor(0).data, dtype=np.float32)

    def _request(self, shape: tuple[int, ...]) -> Any:
        if shape not in self._requests:
            while len(self._requests) >= _KEPT_SHAPES:
                del self._requests[next(iter(self._requests))]
            model = self._read()
            _fix_batch(model, shape)
            compiled = self._core.compile_model(model, "CPU", self._properties)
            self._requests[shape] = compiled.create_infer_request()
        return self._requests[shape]

    def _read(self) -> Any:
        return self._core.read_model(self._xml, self._weights)


def computes_float16() -> bool:
    """Whether this processor has FP16 arithmetic that OpenVINO uses."""
    import openvino as ov

    core: Any = ov.Core()
    return "FP16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def compiled_for_timing(plan: Path, threads: int) -> Any:
    """A plan compiled for one image, counting each layer's time."""
    import openvino as ov

    core = ov.Core()
    model: Any = core.read_model(*_unpack(plan))
    _fix_one_image(model)
    properties = {**_properties(threads, _hint(model)), "PERF_COUNT": True}
    return core.compile_model(model, "CPU", properties)


def _hint(model: Any) -> Hint:
    """Float16 for a network in it, where the processor computes in it; else float32."""
    half = any(
        port.get_element_type().get_type_name() == "f16"
        for op in model.get_ops()
        if op.get_type_name() == "Constant"
        for port in op.outputs()
    )
    return "f16" if half and computes_float16() else "f32"


def _properties(threads: int, precision: Hint) -> dict[str, Any]:
    """One request at a time, and ``precision`` for whatever is not quantized.

    Without the hint CPUs with AVX512-BF16 compute the rest in bfloat16.
    """
    properties: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
    }
    if threads:
        properties["INFERENCE_NUM_THREADS"] = threads
    return properties


def _name_by_place(model: Any) -> None:
    """Rename what OpenVINO numbered: its counter runs on through the life of the process."""
    for place, op in enumerate(model.get_ordered_ops()):
        kind = op.get_type_name()
        if re.fullmatch(rf"{kind}_\d+", op.get_friendly_name()):
            op.set_friendly_name(f"{kind}_{place}")


def _fix_batch(model: Any, shape: tuple[int, ...]) -> None:
    if len(model.inputs) == 1 and model.inputs[0].get_partial_shape().is_dynamic:
        model.reshape({model.inputs[0]: list(shape)})


def _fix_one_image(model: Any) -> None:
    """One image at a time, unless the image's own size is dynamic too."""
    shape = _tensors(model.inputs)[0].shape
    if -1 not in shape[1:]:
        _fix_batch(model, (abs(shape[0]), *shape[1:]))


def _pack(plan: Path, *files: Path) -> None:
    with zipfile.ZipFile(plan, "w", zipfile.ZIP_STORED) as archive:
        for file in files:
            archive.writestr(zipfile.ZipInfo(file.name, date_time=_EPOCH), file.read_bytes())


def _unpack(plan: Path) -> tuple[bytes, bytes]:
    """The IR of a plan; ZIP's checksums notice damage."""
    try:
        with zipfile.ZipFile(io.BytesIO(plan.read_bytes())) as archive:
            return archive.read("model.xml"), archive.read("model.bin")
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{plan} is no OpenVINO plan or is damaged ({error}): build it again"
        ) from error


def _tensors(ports: Any) -> tuple[TensorInfo, ...]:
    return tuple(
        TensorInfo(
            name=port.get_any_name(),
            dtype=_dtype(port.get_element_type()),
            shape=tuple(
                -1 if size.is_dynamic else size.get_length() for size in port.get_partial_shape()
            ),
        )
        for port in ports
    )


def _dtype(element: Any) -> str:
    name = str(element.get_type_name())
    return {"f32": "float32", "f16": "float16", "u8": "uint8", "i8": "int8"}.get(name, name)


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
