"""Quantize a float ONNX file with NNCF; runs in NNCF's own environment.

python surgery_peer_nncf.py FLOAT.onnx IMAGES.npy OUT.onnx
"""

import sys

import nncf
import numpy as np
import onnx

source, images, output = sys.argv[1:]
model = onnx.load(source)
batches = [image[None] for image in np.load(images)]
name = model.graph.input[0].name
dataset = nncf.Dataset(batches, lambda batch: {name: batch})
onnx.save(nncf.quantize(model, dataset, subset_size=len(batches)), output)
