"""Experiments with real programs on networks made for them; run through `./dev lab NAME`, as root."""
