"""The authorization server's face: HTTP and the pages."""
