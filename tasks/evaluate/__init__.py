"""Accuracy of every form of the network, side by side."""
