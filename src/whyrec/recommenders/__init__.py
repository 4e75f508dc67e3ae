"""Recommend: classic recommenders, the two-headed recommender, and their comparison."""
