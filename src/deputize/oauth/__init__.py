"""Both ends of every OAuth message. No I/O: what is needed comes through seven ports."""
