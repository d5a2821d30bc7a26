"""Steps of Flujo pipelines that take personal data out of values, and put it back for those who may.

`Deidentify` is the step that takes it out, by a `Profile`; `Reidentify` puts back what tokens stand for.
"""

from flujo_deidentifier.deidentify import Deidentify
from flujo_deidentifier.errors import (
    DamagedToken,
    KeyProblem,
    TokenError,
    UnknownKey,
    UnknownToken,
    VaultError,
)
from flujo_deidentifier.keys import Keys
from flujo_deidentifier.profiles import GDPR, PROFILES, SAFE_HARBOR, Identifier, Profile, Strategy
from flujo_deidentifier.reidentify import Deliver, Reidentify
from flujo_deidentifier.vault import MemoryVault, Vault, scope_of

__all__ = [
    "GDPR",
    "PROFILES",
    "SAFE_HARBOR",
    "DamagedToken",
    "Deidentify",
    "Deliver",
    "Identifier",
    "KeyProblem",
    "Keys",
    "MemoryVault",
    "Profile",
    "Reidentify",
    "Strategy",
    "TokenError",
    "UnknownKey",
    "UnknownToken",
    "Vault",
    "VaultError",
    "scope_of",
]
