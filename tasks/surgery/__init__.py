"""Repairing a quantized ONNX graph for a compiler, and proving that nothing broke."""
