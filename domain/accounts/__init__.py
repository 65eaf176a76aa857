"""Who a user is: identity, role, credentials' versions, claims on e-mail and username."""
