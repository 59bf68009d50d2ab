"""Taking back what rounding the weights adds to a layer's mean."""
