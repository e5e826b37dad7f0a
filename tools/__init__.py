"""What the developers of Deputize run themselves; no part of the package."""
