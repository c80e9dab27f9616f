"""Atlassian Connect: tokens between an app and a product, each bound to one request by its `qsh`.

When an app is installed, the product sends it a secret; both sign with it afterwards. `install`
verifies that call, `incoming` verifies the product's requests, and `outgoing` signs the app's, and
the assertion by which it acts for a user. `hosts` knows which host is which environment.
"""

from asapfn.connect.hosts import (
    FEDRAMP_HOSTS,
    FEDRAMP_STAGING_HOSTS,
    PRODUCTION_HOSTS,
    STAGING_HOSTS,
)
from asapfn.connect.incoming import authenticator, context_authenticator, policy
from asapfn.connect.install import (
    install_keys,
    read_unsigned_install,
    verify_install,
    verify_reinstall,
)
from asapfn.connect.installation import Installation
from asapfn.connect.outgoing import (
    authorization_server,
    authorizer,
    claims,
    impersonation_assertion,
)

__all__ = [
    "FEDRAMP_HOSTS",
    "FEDRAMP_STAGING_HOSTS",
    "PRODUCTION_HOSTS",
    "STAGING_HOSTS",
    "Installation",
    "authenticator",
    "authorization_server",
    "authorizer",
    "claims",
    "context_authenticator",
    "impersonation_assertion",
    "install_keys",
    "policy",
    "read_unsigned_install",
    "verify_install",
    "verify_reinstall",
]
