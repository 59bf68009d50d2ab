"""PyTorch 2 Export quantization, with annotations by NVIDIA's placement rules."""
