"""The table of layers in TensorRT for RTX's build log.

Without a GPU a plan cannot be opened and inspected, but with detailed profiling verbosity the
log's message ``Layers:`` lists every kernel on a line of its own, in order of execution.
"""

import re

from schemas.engine import Layer, LayerTable

# The compiler's word for a convolution kernel; deconvolutions appear under their own.
_CONVOLUTIONS = {"correlation", "convolution", "deconvolution"}
_MATMULS = {"gemm", "gemv", "matmul", "fc"}
_LINE = re.compile(
    r"^Name: (?P<name>.*?), LayerType: (?P<type>[^,]*), Inputs: \[(?P<inputs>.*?)\], "
    r"Constants: \[(?P<constants>.*?)\], Outputs: \[(?P<outputs>.*?)\], TacticName: "
)
# Kernels of one compiled graph share a number; some of a later profile's graph say whose they are.
_COMPILED_GRAPH = re.compile(r"_myl(\d+)_\d+$")
_LATER_PROFILE = re.compile(r"^Name: [^\n]*? \[profile [1-9]\d*\]_myl(\d+)_", re.M)
_DTYPE = re.compile(r"Datatype: (\w+)")
_FORMAT = re.compile(r"Format: (.+?) }")
_TACTIC = re.compile(r"TacticName: ([^,]*),")
# Entries are separated by the control character "unit separator".
_NODE = re.compile(r"\[ONNX Layer: ([^\x1f]*)\](?=\x1f|$)")
_DTYPES = {"Float": "float32", "Half": "float16", "BFloat16": "bfloat16"}


def layer_table(log: str) -> LayerTable:
    """Parse the message that starts with ``Layers:``; an empty one gives an empty table.

    A plan with several optimization profiles lists its kernels once for each; the first one's are
    taken.
    """
    later = {match[1] for match in _LATER_PROFILE.finditer(log)}
    layers = []
    for line in log.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        graph = _COMPILED_GRAPH.search(match["name"])
        if graph and graph[1] in later:
            continue
        inputs = _dtypes(match["inputs"])
        kind = match["type"].strip()
        metadata = line.partition("Metadata: ")[2]
        layers.append(
            Layer(
                name=match["name"],
                type=kind,
                onnx_nodes=tuple(dict.fromkeys(_NODE.findall(metadata))),
                input_dtypes=inputs,
                output_dtypes=_dtypes(match["outputs"]),
                input_formats=tuple(_FORMAT.findall(match["inputs"])),
                output_formats=tuple(_FORMAT.findall(match["outputs"])),
                tactic=next(iter(_TACTIC.findall(line)), ""),
                is_reformat=_is_move(match["name"]),
                is_convolution=kind in _CONVOLUTIONS,
                is_matmul=kind in _MATMULS,
                is_integer=bool(inputs) and inputs[0] == "int8",
            )
        )
    return LayerTable(source="TensorRT for RTX's build log", layers=tuple(layers))


def _dtypes(tensors: str) -> tuple[str, ...]:
    return tuple(_DTYPES.get(name, name.lower()) for name in _DTYPE.findall(tensors))


def _is_move(name: str) -> bool:
    """Generated kernels are named after what they do: ``__myl_Move_myl0_1`` copies."""
    words = re.match(r"__myl_([A-Za-z]+)_myl", name)
    return bool(words and re.fullmatch(r"(Move|Cast|Tran|Resh|Repl|Conc)+", words[1]))
