"""How bytes travel between processes: JSON-RPC and the JSON form of the ground types."""
