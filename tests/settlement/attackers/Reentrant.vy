# pragma version 0.4.3
# pragma evm-version prague
"""
@title A recipient that calls back while it is being paid
"""

target: address
payload: Bytes[2048]
tried: public(bool)
succeeded: public(bool)


@external
def arm(target: address, payload: Bytes[2048]):
    self.target = target
    self.payload = payload


@external
@payable
def __default__():
    if len(self.payload) > 0:
        self.tried = True
        self.succeeded = raw_call(self.target, self.payload, revert_on_failure=False)
