"""Slash commands in comments: what they are called, who may use them, what they do."""
