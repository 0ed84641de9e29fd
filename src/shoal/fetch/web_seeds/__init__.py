"""Web servers that have a torrent's files (BEP 19), used as any origin is: several connections, long runs."""
