"""Moving weight ranges from one layer to the next, before anything is quantized."""
