"""What clients and HTTP trackers say to one another, as bytes and values; both sides share it.

`messages` holds the values, `query` the question (a URL's query string), `answers` the bencoded answer,
`urls` the addresses. Nothing here opens a socket or looks at a clock, and what a value means for a swarm is
decided elsewhere (`swarm/tiers.py` for the client, `tracker/decision.py` for the server).
"""
