"""Rules: what may happen in a run, and what its record must look like. Pure: no I/O, no clock."""
