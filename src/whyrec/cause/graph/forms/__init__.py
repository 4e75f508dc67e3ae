"""Graphs in the forms of other programs: a file for each form, which reads a text into `Parts` and writes a graph.

scanner.py   texts as tokens with their places, from which every error tells its own
parts.py     what a reader finds: nodes with labels, edges by the marks at their ends
marks.py     what attributes say of nodes and edges (DOT, dagitty, GML, networkx)
short.py     whyrec's own: a -> b; b <-> c
dot.py       Graphviz DOT and dagitty, which is made from it
gml.py, bif.py, tetrad.py (also what causal-learn prints)
objects.py   networkx graphs and causal-learn's GeneralGraph

A reader refuses what it does not understand, with line and column; it skips nothing that could say something of the graph.
"""
