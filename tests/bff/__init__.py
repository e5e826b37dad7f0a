"""The backend for a frontend."""
