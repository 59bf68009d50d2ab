"""What the user would run otherwise: PyTorch, ONNX Runtime and OpenVINO without quantization."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.profiling import Baseline
from tasks.profiling.contenders import Contender, graph_contender
from tasks.runtimes.protocol import Session

if TYPE_CHECKING:
    from torch import nn

    from tasks.runtimes.torch_cuda import Form

_ONLY_ON_A_GPU = ("torch_float16", "torch_graph")


def baseline_contenders(
    wanted: Sequence[Baseline],
    network: "Callable[[], nn.Module] | None",
    graph: Path,
    folder: Path,
    *,
    on_gpu: bool,
) -> tuple[list[Contender], list[str]]:
    """Contenders for ``wanted``, and one sentence for each that is left out.

    ``network`` makes the FP32 network, None where there is only ``graph``, its FP32 ONNX file.
    ``on_gpu`` is where PyTorch runs.
    """
    found: list[Contender] = []
    notes = []
    for name in wanted:
        reason = _left_out(name, network is not None, on_gpu)
        if reason is not None:
            notes.append(f"baseline {name} is left out: {reason}")
        elif name == "onnxruntime":
            found.append(_as_baseline(_graph("onnxruntime", graph, folder)))
        elif name == "openvino":
            found.append(_as_baseline(_graph("openvino", graph, folder)))
        elif name == "openvino_float16":
            found.append(_openvino_float16(graph, folder))
        else:
            assert network is not None
            found.append((_on_gpu if on_gpu else _on_cpu)(name, network))
    return found, notes


def _left_out(name: Baseline, has_network: bool, on_gpu: bool) -> str | None:
    if name.startswith("torch") and not has_network:
        return "it needs the PyTorch network, and an ONNX file or plan is all there is"
    if not on_gpu and name in _ONLY_ON_A_GPU:
        return "it is for a GPU"
    if on_gpu and not name.startswith("torch"):
        return "it runs on the CPU, and the engine on the GPU"
    if name == "openvino_float16":
        from tasks.runtimes.openvino import computes_float16

        if not computes_float16():
            return "this processor has no FP16 arithmetic that OpenVINO uses"
    return None


def _graph(target: str, graph: Path, folder: Path) -> Contender:
    name = f"{target} float32"
    if target == "onnxruntime":
        return graph_contender(name, "float32", "onnxruntime", graph, folder)
    return graph_contender(name, "float32", "openvino", graph, folder)


def _as_baseline(contender: Contender) -> Contender:
    return Contender(contender.name, contender.precision, contender.open, is_baseline=True)


def _openvino_float16(graph: Path, folder: Path) -> Contender:
    from schemas.engine import OpenVinoConfig
    from tasks.runtimes.openvino import OpenVinoRuntime, OpenVinoSession

    plan = folder / "openvino-float16.plan"
    OpenVinoRuntime().build(graph, plan, OpenVinoConfig())
    return Contender(
        "openvino float16",
        "float16",
        lambda threads: OpenVinoSession(plan, threads=threads, precision="f16"),
        is_baseline=True,
    )


def _on_cpu(name: Baseline, network: "Callable[[], nn.Module]") -> Contender:
    def open_session(threads: int) -> Session:
        import torch

        from tasks.runtimes.torch import TorchSession

        module = network()
        if name == "torch_channels_last":
            module = module.to(memory_format=torch.channels_last)
        if name == "torch_compile":
            module.compile(dynamic=False)
        return TorchSession(module, threads=threads)

    return Contender(_torch_name(name, "float32"), "float32", open_session, is_baseline=True)


def _on_gpu(name: Baseline, network: "Callable[[], nn.Module]") -> Contender:
    form = cuda_form(name)

    def open_session(threads: int) -> Session:  # noqa: ARG001
        import torch

        from tasks.runtimes.torch_cuda import TorchCudaSession

        module = form.network(copy.deepcopy(network()))
        if name == "torch_compile":
            return TorchCudaSession(torch.compile(module, dynamic=False), form)
        return TorchCudaSession(module, form)

    # A report may also have an engine on the CPU, with baselines there.
    shown = f"{_torch_name(name, form.name)} on a GPU"
    return Contender(shown, form.name, open_session, is_baseline=True)


def cuda_form(name: Baseline) -> "Form":
    """How a PyTorch baseline computes on a GPU: all but ``torch`` in FP16, the fast ones NHWC."""
    import torch

    from tasks.runtimes.torch_cuda import Form

    if name == "torch":
        return Form("float32")
    return Form(
        "float16",
        torch.float16,
        channels_last=name != "torch_float16",
        graph=name == "torch_graph",
    )


def _torch_name(name: Baseline, precision: str) -> str:
    way = name.removeprefix("torch").removeprefix("_").replace("_", "-")
    middle = {"": "", "float16": ""}.get(way, f" {way}")
    return f"torch{middle} {precision}"
