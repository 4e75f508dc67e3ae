"""Panels: units observed over time, some of which are treated from some period on.

table.py      `OutcomePanel`, and how a table of unit, time, outcome and treatment becomes one
weights.py    least squares over the simplex
average.py    the average effect on the treated by synthetic control, its synthesis with differences, and differences; by cohort where starts differ
errors.py     placebo, jackknife and bootstrap errors
"""
