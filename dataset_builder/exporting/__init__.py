"""A data set: chosen, split, written, described."""
