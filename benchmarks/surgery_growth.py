"""How surgery's time grows with the graph.

    python benchmarks/surgery_growth.py --plot growth.svg

Parity is not part of it. Processor seconds, which other work on the machine still moves through
caches and memory, and beside them the function calls, which nothing moves: their exponent is the
bound, and the exit status is 1 where it is above 1.1. Networks are torchvision's ResNets at 32x32,
quantized by PyTorch.
"""

import argparse
import cProfile
import gc
import pstats
import sys
import tempfile
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import onnx

DEPTHS = (18, 34, 50, 101, 152)
REPEATS = 5
MOST_EXPONENT = 1.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plot", type=Path, help="write an SVG here")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    points = [(depth, *measure(depth)) for depth in DEPTHS]
    nodes = np.array([point[1] for point in points], float)
    seconds = np.array([point[2] for point in points])
    calls = np.array([point[3] for point in points], float)
    print("| network | nodes | processor seconds | ms a node | calls a node |")
    print("|---|---|---|---|---|")
    for depth, count, best, made in points:
        cells = f"{count} | {best:.3f} | {1e3 * best / count:.3f} | {made / count:.0f}"
        print(f"| ResNet-{depth} | {cells} |")
    exponents = [
        float(np.polyfit(np.log(nodes), np.log(figures), 1)[0]) for figures in (seconds, calls)
    ]
    print(f"\nnodes to the power {exponents[0]:.2f} in seconds, {exponents[1]:.2f} in calls")
    if arguments.plot:
        arguments.plot.write_text(plot(nodes, seconds))
    sys.exit(1 if exponents[1] > MOST_EXPONENT else 0)


def measure(depth: int) -> tuple[int, float, int]:
    """Nodes of the raw export, the processor seconds that its repair takes at best, and calls."""
    from tasks.surgery.repair import repair

    raw = _raw(depth)
    # What PyTorch has loaded is not surgery's to collect.
    gc.freeze()
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        repair(raw, "tensorrt")
        times.append(time.process_time() - start)
    profile = cProfile.Profile()
    profile.runcall(repair, raw, "tensorrt")
    calls: int = pstats.Stats(profile).total_calls  # type: ignore[attr-defined]
    # The best of a few: other work on the machine only adds to it.
    return len(raw.graph.node), min(times), calls


def _raw(depth: int) -> onnx.ModelProto:
    import torch
    import torchvision
    from torch.ao.quantization import get_default_qconfig_mapping
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    torch.backends.quantized.engine = "x86"
    images = torch.randn(4, 3, 32, 32)
    network = getattr(torchvision.models, f"resnet{depth}")(weights=None)
    network.train()
    with torch.no_grad():
        network(images)
    prepared = prepare_fx(network.eval(), get_default_qconfig_mapping("x86"), (images,))
    # Symmetric activations, the only ones that every target takes.
    for module in prepared.modules():
        if getattr(module, "qscheme", None) == torch.per_tensor_affine:
            module.qscheme = torch.per_tensor_symmetric
            module.reduce_range = False
    with torch.no_grad():
        prepared(images)
    network = convert_fx(prepared)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "raw.onnx"
        torch.onnx.export(network, (images[:1],), str(file), dynamo=False, opset_version=17)
        return onnx.load(file)


def plot(nodes: "np.ndarray[tuple[int], np.dtype[np.float64]]", seconds: object) -> str:
    """A scatter of seconds over nodes, with the straight line through the origin that fits."""
    values = np.asarray(seconds, float)
    width, height, margin = 480, 320, 50
    slope = float((nodes @ values) / (nodes @ nodes))
    top, right = max(values.max(), slope * nodes.max()) * 1.1, nodes.max() * 1.1

    def at(x: float, y: float) -> tuple[float, float]:
        across = margin + x / right * (width - 2 * margin)
        return across, height - margin - y / top * (height - 2 * margin)

    (x0, y0), (x1, y1) = at(0, 0), at(right, slope * right)
    dots = "".join(
        f'<circle cx="{at(x, y)[0]:.1f}" cy="{at(x, y)[1]:.1f}" r="4" fill="#1f6feb"/>'
        for x, y in zip(nodes, values, strict=True)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12">'
        f'<rect width="{width}" height="{height}" fill="white"/>'
        f'<line x1="{x0}" y1="{y0}" x2="{x1:.1f}" y2="{y1:.1f}" stroke="#999"/>'
        f'<path d="M{x0} {margin} V{y0} H{width - margin}" stroke="black" fill="none"/>{dots}'
        f'<text x="{width / 2}" y="{height - 12}" text-anchor="middle">nodes of the raw graph, '
        f"to {right:.0f}</text>"
        f'<text x="14" y="{height / 2}" transform="rotate(-90 14 {height / 2})" '
        f'text-anchor="middle">seconds, to {top:.2f}</text></svg>\n'
    )


if __name__ == "__main__":
    main()
