"""The demonstration: a sample project, recorded models on the real wire, nothing else pretended."""
