"""Benchmarks: `make bench SUITE=core` prints one JSON object a line.

Keys: `bench`, `unit`, `ours`, and where there is a rival in the same run `peer_name`, `peer`, `ratio`. A suite is the modules
`benches/<suite>_*.py`, each with a `run()` that yields such objects.
"""
