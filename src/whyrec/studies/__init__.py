"""Worked cases on real data: each asks a question, draws its graph, and answers with what was checked."""
