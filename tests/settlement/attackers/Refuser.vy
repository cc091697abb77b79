# pragma version 0.4.3
# pragma evm-version prague
"""
@title A recipient that takes no ether
"""

nothing: public(uint256)
