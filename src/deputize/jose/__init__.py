"""Signatures under policy: compact JWS only, an allow-list of algorithms, one key for one algorithm."""
