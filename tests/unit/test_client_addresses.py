"""What a client takes for the address of a server, or of several."""

import pytest
from facepass.addresses import are_several, each, target
from facepass.channel import service_config


@pytest.mark.parametrize("address", ["faces.example:443", "127.0.0.1:50051", "unix:/run/facepass"])
def test_one_is_left_as_it_is(address: str) -> None:
    assert not are_several(address)
    assert target(address) == address
    assert "loadBalancingConfig" not in service_config()


def test_a_list_is_one_target() -> None:
    address = "127.0.0.1:1, 127.0.0.2:2"
    assert are_several(address)
    assert each(address) == ["127.0.0.1:1", "127.0.0.2:2"]
    assert target(address) == "ipv4:127.0.0.1:1,127.0.0.2:2"
    assert target("[::1]:1,[::2]:2") == "ipv6:[::1]:1,[::2]:2"
    assert target("localhost:1,127.0.0.2:2") == "ipv4:127.0.0.1:1,127.0.0.2:2"


def test_all_that_a_name_stands_for() -> None:
    assert are_several("dns:///faces.example:443")
    assert target("dns:///faces.example:443") == "dns:///faces.example:443"
    assert each("dns:///faces.example:443") == ["faces.example:443"]


@pytest.mark.parametrize("address", ["127.0.0.1:1,[::1]:1", "127.0.0.1:1,no.such.invalid:1"])
def test_a_list_that_cannot_be_used(address: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be found|not all"):
        target(address)
