"""Decide: effects turned into recommendations, policies and their value."""
