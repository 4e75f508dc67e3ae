"""Do off-policy values, learnt policies and constraints do what they say? Tables of measurements, and the claims they bear."""
