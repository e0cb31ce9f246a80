"""Judgement: evidence in, decision out. Pure: no I/O, no clock, and nothing else of ours is imported."""
