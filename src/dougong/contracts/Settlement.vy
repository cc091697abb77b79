# pragma version 0.4.3
# pragma evm-version prague
"""
@title Settlement
@notice Holds the inputs of every rollup, the claims about them, the ether, and the last word. No owner, no upgrade, no pause.
        docs/spec/settlement.md
"""

import registry
import inbox
import batches
import claims
import bridge

initializes: registry
initializes: inbox[registry := registry]
initializes: batches[registry := registry, inbox := inbox]
initializes: claims[registry := registry, inbox := inbox, batches := batches]
initializes: bridge[registry := registry, inbox := inbox, claims := claims]

exports: registry.__interface__
exports: inbox.__interface__
exports: batches.__interface__
exports: claims.__interface__
exports: bridge.__interface__
