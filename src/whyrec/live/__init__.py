"""Live: a fitted ranker as it is asked for one user now, by the library and by the service alike."""
