# pragma version 0.4.3
# pragma evm-version prague
"""
@title Token: an ERC-20 with a fixed issuer
@custom:source EIP-20
"""

from ethereum.ercs import IERC20
from ethereum.ercs import IERC20Detailed

implements: IERC20
implements: IERC20Detailed

name: public(String[64])
symbol: public(String[16])
decimals: public(constant(uint8)) = 18
issuer: public(immutable(address))

totalSupply: public(uint256)
balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])


@deploy
def __init__(name_: String[64], symbol_: String[16], supply: uint256):
    """
    @param supply Minted to whoever deploys, who alone may mint more.
    """
    self.name = name_
    self.symbol = symbol_
    issuer = msg.sender
    self._mint(msg.sender, supply)


@external
def transfer(_to: address, _value: uint256) -> bool:
    self._move(msg.sender, _to, _value)
    return True


@external
def transferFrom(_from: address, _to: address, _value: uint256) -> bool:
    allowed: uint256 = self.allowance[_from][msg.sender]
    # An allowance of the maximum is meant to last.
    if allowed != max_value(uint256):
        assert allowed >= _value, "allowance too low"
        self.allowance[_from][msg.sender] = allowed - _value
    self._move(_from, _to, _value)
    return True


@external
def approve(_spender: address, _value: uint256) -> bool:
    self.allowance[msg.sender][_spender] = _value
    log IERC20.Approval(owner=msg.sender, spender=_spender, value=_value)
    return True


@external
def mint(recipient: address, amount: uint256):
    assert msg.sender == issuer, "only the issuer mints"
    self._mint(recipient, amount)


@internal
def _mint(recipient: address, amount: uint256):
    assert recipient != empty(address), "no recipient"
    self.totalSupply += amount
    self.balanceOf[recipient] += amount
    log IERC20.Transfer(sender=empty(address), receiver=recipient, value=amount)


@internal
def _move(sender: address, recipient: address, amount: uint256):
    assert recipient != empty(address), "no recipient"
    assert self.balanceOf[sender] >= amount, "balance too low"
    self.balanceOf[sender] -= amount
    self.balanceOf[recipient] += amount
    log IERC20.Transfer(sender=sender, receiver=recipient, value=amount)
