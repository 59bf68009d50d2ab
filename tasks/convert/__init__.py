"""From observers to integer kernels."""
