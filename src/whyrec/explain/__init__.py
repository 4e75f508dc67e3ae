"""Explain: words, pictures and the report."""
