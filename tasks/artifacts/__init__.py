"""The content-addressed store that every stage reads from and writes to."""
