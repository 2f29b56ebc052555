"""Where webhooks may be sent. Comes before every delivery.

Users choose any host here, so nothing but the scheme and the addresses can be judged: a URL of theirs must not become a way
into the house that this service stands in.
"""

import ipaddress

from msgspec import Struct

from slackwater.core.errors import Forbidden, InvalidRequest, SendFailed
from slackwater.core.outside.addresses import Target, kind_of_address, parse

OFF = "Webhooks are turned off here. Poll the batch, or ask the operator to set enabled = true under [webhooks]."
OF_THE_HOUSE = ("loopback", "private")


class Destinations(Struct, frozen=True, kw_only=True):
    """What the operator allows."""

    allow_http: bool = False
    allow_private_addresses: bool = False

    def locate(self, url: str) -> Target:
        """The parts of a URL that may be sent to. Raises InvalidRequest."""
        target = parse(url, param="url")
        if target.scheme == "http" and not self.allow_http:
            raise InvalidRequest(
                "Invalid value for 'url': it must begin with https://. The operator can set allow_http = true under "
                "[webhooks].",
                param="url",
            )
        if _is_address(target.host):
            fault = self._fault(target.host)
            if fault is not None:
                raise InvalidRequest(f"Invalid value for 'url': it leads to a {fault}", param="url")
        return target

    def judge_address(self, host: str, address: str) -> None:
        """Raises SendFailed where a host's address is not one to send to."""
        fault = self._fault(address)
        if fault is not None:
            raise SendFailed(f"The host '{host[:100]}' leads to a {fault}")

    def _fault(self, address: str) -> str | None:
        kind = kind_of_address(address)
        if kind is None or (kind in OF_THE_HOUSE and self.allow_private_addresses):
            return None
        advice = (
            " The operator can set allow_private_addresses = true under [webhooks]." if kind in OF_THE_HOUSE else ""
        )
        return f"{kind} address, and webhooks are not sent there.{advice}"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def off() -> Forbidden:
    """The error for every change where the operator has turned webhooks off."""
    return Forbidden(OFF)
