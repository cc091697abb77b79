"""What turns layers into rollups: it orders, publishes, claims, attests, checks and brings money home."""
