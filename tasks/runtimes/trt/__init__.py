"""What TensorRT and TensorRT for RTX share; the module is passed in."""
