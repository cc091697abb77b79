"""Squares in Celestia's formats: shares, layout, namespaces, and every proof of them. Pure."""
