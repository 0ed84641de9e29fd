"""What the headers of a response mean, as values; a header that cannot be believed is as good as absent.

`headers` holds the fields themselves, dates, lengths and ranges; `validators` says when two responses are of the same
bytes; `names`, `digests` and `links` read what they are called after. What it means for a download is decided in
`fetch/facts.py`.
"""
