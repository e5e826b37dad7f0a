"""What tests share: the proofs that they claim, and the world in which they play."""
