"""Frozen networks whose features detectors look at, and how they are run fast."""
