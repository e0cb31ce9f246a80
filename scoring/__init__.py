"""Judgement, pure: evidence in, decision out; no I/O, no clock, and nothing else of ours is imported."""
