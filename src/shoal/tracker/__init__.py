"""The tracker server: who is in which swarm, told to whoever asks.

`decision` answers (pure), `store` remembers, `door_http` speaks HTTP, `server` puts them together and
keeps time. Another door (UDP) or store (a shared one) is a sibling file.
"""
