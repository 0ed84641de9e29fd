"""Groups: the key that their members share, and what follows from having it. docs/pooling.md, section Keys."""
