"""Coverage-guided fuzzers of every decoder that takes bytes from outside: one small file a layer.

    make fuzz                                       # all of them, briefly; reproducible
    .venv/bin/python -m fuzz shares --seconds 600   # one of them, for long

A target takes any bytes and must end in one of two ways: the decoder gives a value that it writes back the same, or it raises
`InvalidInput`. Any other exception, an answer that is not canonical, a proof accepted for what is not there, five seconds or two
gigabytes are a finding; the input lies in `fuzz/findings/` then and belongs into the target's seeds once it is mended. The engine
is atheris (libFuzzer); where it does not run, the tests still mutate every target's seeds (`tests/fuzz/`).
"""
