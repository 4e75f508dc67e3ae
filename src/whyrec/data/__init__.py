"""Prepare: read logs, validate, clean, split, and hold them as a `Dataset`."""
