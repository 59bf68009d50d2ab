"""Training a checkpoint where none is given."""
