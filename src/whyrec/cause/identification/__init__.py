"""Does the effect follow from the graph and the columns, by which formula, and what is it on the data?"""
