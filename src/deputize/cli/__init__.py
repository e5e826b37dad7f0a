"""The command line: each verb a short function."""
