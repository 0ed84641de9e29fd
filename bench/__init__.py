"""Benchmarks: `./dev bench NAME`. Every one names what it compares with, and says what is absent."""
