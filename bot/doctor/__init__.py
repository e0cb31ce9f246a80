"""`optr doctor`: what an operator would look at first, tried for real, each with what to do about it."""
