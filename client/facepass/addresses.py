"""Where servers are: one of them, a list, or all that a name stands for."""

import socket

DNS = "dns:///"


def each(address: str) -> list[str]:
    """Return the addresses of a list, `host:port` each."""
    return [part.strip().removeprefix(DNS) for part in address.split(",")]


def are_several(address: str) -> bool:
    """Whether calls are to be spread over all servers at the address."""
    return "," in address or address.startswith(DNS)


def target(address: str) -> str:
    """Return what gRPC takes for the address. Names of a list are looked up now, and not again.

    Raises ValueError for a name of a list that stands for nothing.
    """
    if "," not in address:
        return address
    hosts = [part.rpartition(":") for part in each(address)]
    for family, scheme, form in (
        (socket.AF_INET, "ipv4", "{}:{}"),
        (socket.AF_INET6, "ipv6", "[{}]:{}"),
    ):
        try:
            found = [form.format(_look_up(host, family), port) for host, _, port in hosts]
        except OSError as error:
            failure = error
        else:
            return f"{scheme}:{','.join(found)}"
    raise ValueError(f"{address}: not all of these can be found: {failure.strerror or failure}")


def _look_up(host: str, family: socket.AddressFamily) -> str:
    found = socket.getaddrinfo(host.strip("[]"), None, family, socket.SOCK_STREAM)
    return str(found[0][4][0])
