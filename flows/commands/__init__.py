"""One command a file; ``flows.cli`` registers them."""
