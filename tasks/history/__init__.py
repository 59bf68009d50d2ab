"""Every finished build on record, and the last good one as the measure of the next."""
