"""The plugs: stores, keys, the door out, clocks. `cli/compose.py` alone puts them into the sockets."""
