"""A group of machines that fetch one URL together; docs/pooling.md is the map."""
