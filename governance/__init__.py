"""Rules, pure: graph, mandates, dispatch tokens, reports, settlement, wrap, patch rules, reason codes, run states.

No module here does I/O or reads a clock; every refusal carries a code of `governance.reasons`.
"""
