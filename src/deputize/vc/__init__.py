"""Credentials: SD-JWT, SD-JWT VC and Token Status List, usable without the server. No I/O but through ports."""
