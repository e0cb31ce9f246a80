"""Who may do what on whose behalf: signed, expiring, revocable, and traceable to the person who asked.

Every name here is pure: time, keys and records are passed in. The model is that of EATP (enterprise agent trust
protocol): genesis, capability attestation, delegation, constraint envelope, audit anchor.
"""
