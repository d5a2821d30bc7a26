"""What can go wrong with tokens and keys. No message ever holds a value, a token's text or a key.

FlujoError
├── KeyProblem     keys that cannot be read, are too weak, or may be read by others
├── VaultError     the vault cannot be used
└── TokenError     a token cannot be opened
    ├── UnknownToken   nothing is kept under it: here, or for this scope
    ├── DamagedToken   it was changed since it was given
    └── UnknownKey     it was made with a key that is not at hand, or another of the same name
"""

from flujo.errors import DefinitionError, FlujoError


class KeyProblem(DefinitionError):
    """Keys cannot be used."""

    code = "key"


class VaultError(FlujoError):
    """The vault cannot be used."""

    code = "vault"


class TokenError(FlujoError, ValueError):
    """A token cannot be opened."""

    code = "token"


class UnknownToken(TokenError):
    """Nothing is kept under a token."""

    code = "unknown_token"
    fix = "open it with the vault, and for the scope (run, subject, tenant), that it was made with"


class DamagedToken(TokenError):
    """A token was changed since it was given."""

    code = "damaged_token"
    fix = "have whatever handles the text between leave tokens as they are"


class UnknownKey(TokenError):
    """A token was made with a key that is not at hand."""

    code = "unknown_key"
    fix = "keep the keys of old tokens among the keys; only the active one makes new tokens"
