"""Making a network quantizable that was not written for it."""
