"""Networks: found by name, built, given their weights, digested without being imported."""
