"""One recipe for each set: where it comes from, what is dropped, how it is divided."""
