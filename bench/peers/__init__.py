"""The two ends of a transfer, as programs: ours, the others', and the plainest copy there can be."""
