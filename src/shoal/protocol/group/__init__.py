"""What the members of a group say to one another, as bytes and values (docs/pooling.md, "Wire").

Two extensions of BEP 10 (`MEETING`, `POOL`). `messages` holds the values, `meeting` and `pool` the two codecs, and
`records` the packed form of what is signed. Nothing here checks a signature, opens a socket or looks at a clock.
"""
