"""The one place where policy is decided: Cedar (https://docs.cedarpolicy.com), layer by layer, denying on any doubt."""
