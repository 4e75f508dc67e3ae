"""Structural causal models: a mechanism for every node of a graph, interventions, samples and counterfactuals.

model.py       `StructuralCausalModel`: fit, do, sample, counterfactual, effect
columns.py     a table's columns as numbers, and what they may hold
additive.py    mechanisms y = f(parents) + noise, and roots
classes.py     mechanisms of categories: a threshold for two, Gumbel noise for more
flow.py        a monotone spline flow, whose noise has every conditional shape
attribution.py Shapley shares of causes in a case's outcome, over counterfactuals
store.py       a fitted model to a folder and back
choice.py      which mechanism, by held-out likelihood
noise.py       uniform numbers that belong to a case, so that batched equals looped
latent.py      an unmeasured cause by amortised variational inference (CEVAE)
pairs.py       the article's Y_ui = f(X_ui, Z_ui) on user and item representations
"""

from whyrec.cause.scm.model import StructuralCausalModel

__all__ = ["StructuralCausalModel"]
