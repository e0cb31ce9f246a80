"""Everything people read on GitHub, made from records by pure functions."""
