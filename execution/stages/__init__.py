"""The stages of a run, one behaviour each.

A stage reads artifacts, does one thing and writes one artifact. Asked again, it finds its artifact and returns, so a
crash anywhere costs at most the stage that was running, and a finished model call is never paid for twice.
"""
