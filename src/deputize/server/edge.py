"""What stands in front of the server: see `deputize.oauth.certificate`."""

from deputize.oauth.certificate import CERTIFICATE_SCOPE, Edge

__all__ = ["CERTIFICATE_SCOPE", "Edge"]
