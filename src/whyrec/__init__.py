"""whyrec: a causal recommender system."""
