"""Compositions of stages, and the command line."""
