"""Represent: text, history and graph turned into states of users, items and pairs."""
