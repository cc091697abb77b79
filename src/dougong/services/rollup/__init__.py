"""What runs a rollup: sequencer, batcher, proposer, and those who follow."""
