"""Composition: a stack.toml becomes running services, and comes back after a kill -9."""
