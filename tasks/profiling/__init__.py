"""How fast an engine is, against FP32 on the same runtime."""
