"""The DA chain: squares in blocks, and the market for room in them."""
