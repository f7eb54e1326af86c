"""Which names may stand in `Host`.  A page that rebinds its own name to 127.0.0.1 sends that name, and is refused."""

import ipaddress
import socket

from corral_http.address import split_host

_PRIVATE = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))
_SUFFIXES = (".localhost", ".local", ".internal")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def listens_on_loopback(setting: str) -> bool:
    """Whether the kernel's `host` setting is a loopback address."""
    host = split_host(setting)[1]
    address = parse_address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def without_port(host: str) -> str:
    """`Host` without its port and an IPv6 address's brackets, in lower case."""
    name = host.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0] if name.count(":") == 1 else name


def parse_address(name: str) -> Address | None:
    """The address that `name` spells; None for a name.  An IPv4 address in IPv6 clothes counts as IPv4."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_allowed_address(address: Address) -> bool:
    """Loopback, private, unspecified, or an address of this machine."""
    return (
        address.is_loopback
        or address.is_unspecified
        or any(address.version == network.version and address in network for network in _PRIVATE)
        or _is_own(address)
    )


def _is_own(address: Address) -> bool:
    """Only an address of this machine can be bound; nothing is sent."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def is_allowed_name(name: str, further: str) -> bool:
    """No name at all, this machine's names, names that only resolve locally, and `further` (comma separated)."""
    return (
        name in ("", "localhost", socket.gethostname().lower())
        or name.endswith(_SUFFIXES)
        or name in (each.strip().lower() for each in further.split(","))
    )
