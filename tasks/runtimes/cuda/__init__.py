"""NVIDIA GPUs through pycuda: memory, streams, events and graphs, whoever made the kernels."""
