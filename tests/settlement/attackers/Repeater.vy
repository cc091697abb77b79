# pragma version 0.4.3
# pragma evm-version prague
"""
@title Makes several calls in one transaction, in its own name or in its own storage
"""


@external
def twice(target: address, first: Bytes[1024], second: Bytes[1024]):
    raw_call(target, first)
    raw_call(target, second)


@external
def borrow(target: address, payload: Bytes[1024]):
    raw_call(target, payload, is_delegate_call=True)
