"""Compiling repaired graphs into engine plans."""
