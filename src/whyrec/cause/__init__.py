"""Cause: graphs, calibrated doubly robust effects, refutation and sensitivity."""
