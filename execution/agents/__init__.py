"""Agents: who they are (profiles), how they work (the loop, or a command), how one is built from a profile."""
