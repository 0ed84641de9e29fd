"""Shoal moves big files between many machines."""

__version__ = "0.1.0"
