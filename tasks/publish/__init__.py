"""From a run that passed to something a server can load."""
