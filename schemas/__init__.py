"""The vocabulary: job files, references and reports. pydantic and the standard library only."""
