"""What the labs are made of: a network, processes in it, the programs to run and what they came to."""
