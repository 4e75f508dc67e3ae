"""Learning causal graphs from data, with what is known beforehand as an invariant: see `learn.learn_graph`."""
