"""Model access: a registry of wire protocols, one driver for each, one vocabulary for usage and for failure."""
