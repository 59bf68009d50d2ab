"""Where quantization's error enters a network, and what to leave in float."""
