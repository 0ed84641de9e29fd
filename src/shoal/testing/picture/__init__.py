"""The picture of a story: whose uplink carried what for whom, when; who had how much; and where the time went.

`figures.py` counts and knows no colours; `drawing.py` draws and needs matplotlib (`./dev install pictures`).
"""
