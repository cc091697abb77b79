"""Who looks after a chain without running it: light, full and verifying nodes, and the peers that they ask."""
