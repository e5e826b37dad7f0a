"""The agent gateway: it holds tokens, so that agents do not."""
