"""Several machines that fetch one URL together (docs/pooling.md)."""
