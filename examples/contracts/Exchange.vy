# pragma version 0.4.3
# pragma evm-version prague
"""
@title Exchange: a constant-product market between ether and one token
@notice x * y never falls; a swap pays 0.3 % to those who provided liquidity. Reserves are what the contract has counted, not what it
        holds, so sending it money moves no price. The token must be a plain ERC-20: one that takes a fee on transfers will
        leave the last provider short.
@custom:source Uniswap v1/v2 whitepapers (Zhang, Chen, Park 2018; Adams, Zinsmeister, Robinson 2020)
"""

from ethereum.ercs import IERC20

event LiquidityAdded:
    provider: indexed(address)
    ether_in: uint256
    tokens_in: uint256
    liquidity: uint256

event LiquidityRemoved:
    provider: indexed(address)
    ether_out: uint256
    tokens_out: uint256
    liquidity: uint256

event Swapped:
    trader: indexed(address)
    ether_in: uint256
    tokens_in: uint256
    ether_out: uint256
    tokens_out: uint256

# Of 1,000 parts that come in, 997 are traded.
FEE_BASE: constant(uint256) = 1000
AFTER_FEE: constant(uint256) = 997
# Locked for ever with the first deposit, so that a share can never be made so dear that others round to nothing.
LOCKED: constant(uint256) = 1000

TOKEN: public(immutable(address))

ether_reserve: public(uint256)
token_reserve: public(uint256)
total_liquidity: public(uint256)
liquidity: public(HashMap[address, uint256])


@deploy
def __init__(token: address):
    assert token.is_contract, "no token"
    TOKEN = token


@external
@payable
@nonreentrant
def add_liquidity(max_tokens: uint256, min_liquidity: uint256, deadline: uint256) -> uint256:
    """
    @notice Adds the ether sent and tokens in the reserves' proportion (the first provider sets it with `max_tokens`).
    """
    self._in_time(deadline)
    minted: uint256 = 0
    tokens_in: uint256 = max_tokens
    if self.total_liquidity == 0:
        minted = isqrt(msg.value * max_tokens)
        assert minted > LOCKED, "too little to start a market"
        self.total_liquidity = LOCKED
        self.liquidity[empty(address)] = LOCKED
        minted -= LOCKED
    else:
        # Tokens rounded up, liquidity rounded down: in doubt for those who are in already.
        tokens_in = (msg.value * self.token_reserve + self.ether_reserve - 1) // self.ether_reserve
        minted = msg.value * self.total_liquidity // self.ether_reserve
        assert tokens_in <= max_tokens, "more tokens than allowed"
    assert minted > 0 and minted >= min_liquidity, "too little liquidity"
    self.ether_reserve += msg.value
    self.token_reserve += tokens_in
    self.total_liquidity += minted
    self.liquidity[msg.sender] += minted
    self._take_tokens(tokens_in)
    log LiquidityAdded(provider=msg.sender, ether_in=msg.value, tokens_in=tokens_in, liquidity=minted)
    return minted


@external
@nonreentrant
def remove_liquidity(amount: uint256, min_ether: uint256, min_tokens: uint256, deadline: uint256) -> (uint256, uint256):
    self._in_time(deadline)
    assert amount > 0 and amount <= self.liquidity[msg.sender], "more than provided"
    ether_out: uint256 = amount * self.ether_reserve // self.total_liquidity
    tokens_out: uint256 = amount * self.token_reserve // self.total_liquidity
    assert ether_out >= min_ether and tokens_out >= min_tokens, "below the minimum"
    self.liquidity[msg.sender] -= amount
    self.total_liquidity -= amount
    self.ether_reserve -= ether_out
    self.token_reserve -= tokens_out
    self._give_tokens(tokens_out)
    raw_call(msg.sender, b"", value=ether_out)
    log LiquidityRemoved(provider=msg.sender, ether_out=ether_out, tokens_out=tokens_out, liquidity=amount)
    return ether_out, tokens_out


@external
@payable
@nonreentrant
def swap_ether(min_tokens: uint256, deadline: uint256) -> uint256:
    """
    @notice Sells the ether sent for at least `min_tokens`.
    """
    self._in_time(deadline)
    tokens_out: uint256 = self._price(msg.value, self.ether_reserve, self.token_reserve)
    assert tokens_out >= min_tokens, "below the minimum"
    self.ether_reserve += msg.value
    self.token_reserve -= tokens_out
    self._give_tokens(tokens_out)
    log Swapped(trader=msg.sender, ether_in=msg.value, tokens_in=0, ether_out=0, tokens_out=tokens_out)
    return tokens_out


@external
@nonreentrant
def swap_tokens(amount: uint256, min_ether: uint256, deadline: uint256) -> uint256:
    """
    @notice Sells `amount` tokens, which the trader has approved, for at least `min_ether` wei.
    """
    self._in_time(deadline)
    ether_out: uint256 = self._price(amount, self.token_reserve, self.ether_reserve)
    assert ether_out >= min_ether, "below the minimum"
    self.token_reserve += amount
    self.ether_reserve -= ether_out
    self._take_tokens(amount)
    raw_call(msg.sender, b"", value=ether_out)
    log Swapped(trader=msg.sender, ether_in=0, tokens_in=amount, ether_out=ether_out, tokens_out=0)
    return ether_out


@external
@view
@nonreentrant
def quote_ether(amount: uint256) -> uint256:
    """
    @notice Tokens that `amount` wei would buy now.
    """
    return self._price(amount, self.ether_reserve, self.token_reserve)


@external
@view
@nonreentrant
def quote_tokens(amount: uint256) -> uint256:
    """
    @notice Wei that `amount` tokens would buy now.
    """
    return self._price(amount, self.token_reserve, self.ether_reserve)


@internal
@pure
def _price(amount: uint256, reserve_in: uint256, reserve_out: uint256) -> uint256:
    assert amount > 0, "nothing to swap"
    assert reserve_in > 0 and reserve_out > 0, "no liquidity"
    traded: uint256 = amount * AFTER_FEE
    return traded * reserve_out // (reserve_in * FEE_BASE + traded)


@internal
@view
def _in_time(deadline: uint256):
    assert block.timestamp <= deadline, "too late"


@internal
def _take_tokens(amount: uint256):
    assert extcall IERC20(TOKEN).transferFrom(msg.sender, self, amount, default_return_value=True), "tokens not received"


@internal
def _give_tokens(amount: uint256):
    assert extcall IERC20(TOKEN).transfer(msg.sender, amount, default_return_value=True), "tokens not sent"
