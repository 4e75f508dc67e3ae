"""The league: every estimator of an average effect on worlds that differ in kind."""
