"""Quantize a float ONNX file with NVIDIA Model Optimizer; runs in its own environment.

    python surgery_peer_modelopt.py FLOAT.onnx IMAGES.npy OUT.onnx

Its own environment because it brings onnxruntime-gpu, which takes onnxruntime's place.
"""

import sys

import numpy as np
import onnx
from modelopt.onnx.quantization import quantize

source, images, output = sys.argv[1:]
name = onnx.load(source, load_external_data=False).graph.input[0].name
quantize(
    source,
    quantize_mode="int8",
    calibration_method="max",
    calibration_data={name: np.load(images)},
    calibration_eps=["cpu"],
    high_precision_dtype="fp32",
    output_path=output,
)
