"""Looking after a store: what is in it, what is damaged, what can go.

Not in ``tasks/artifacts``, whose source is part of every stage's cache key.
"""
