"""Choosing the activation scales from images."""
