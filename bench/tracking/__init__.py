"""What `./dev bench tracker` is made of: who announces, how fast, to whom, and whether the answers are true."""
