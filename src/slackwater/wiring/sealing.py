"""Who seals keys of engines that are stored, as it is configured."""

from slackwater.config import Config
from slackwater.ports import Sealer


def sealer_of(config: Config) -> Sealer | None:
    """Who seals keys that are stored; None where the operator has given no key for it."""
    if not config.secrets_keys:
        return None
    # Only a service that stores keys pays for the library.
    from slackwater.adapters.sealing.aes_gcm import AesGcmSealer

    return AesGcmSealer(config.secrets_keys)
