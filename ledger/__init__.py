"""The record: an append-only ledger on a git branch that anybody can verify.

The rules of this package:

* It imports nothing of ours. An auditor can copy this directory, install `cryptography` and GitPython, and run it.
* Bytes are the truth. A line is hashed and compared as stored; what is not canonical is refused, not repaired.
* Chain, tree and digests are checked from the same bytes in one pass; where two disagree, the ledger is refused.
* Only `sequencer` writes the branch. It signs a tree head once per size, ever, and remembers the last one outside.
* Doubt stops: a branch that is behind, ahead of or different from what was signed is not written to.
* Reading needs no secret, no network and no configuration; hostile bytes give findings, not exceptions.

Start reading at `entry` (a line), `layout` (the branch), `sequencer` (how a line gets there), `verify` (how it is
judged).
"""
