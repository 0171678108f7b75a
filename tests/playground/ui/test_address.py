"""Where the app is served: what the environment names wrongly is one sentence, before anything is built."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from playground.ui.address import AddressError, address

ROOT = Path(__file__).parents[3]


@pytest.fixture
def taken():
    """A port that somebody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def free() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_the_environment_names_host_and_port() -> None:
    port = free()
    assert address({}, {"GRADIO_SERVER_PORT": f" {port} "}) == ("127.0.0.1", port)
    assert address({}, {"GRADIO_SERVER_PORT": str(port), "SPACE_ID": "me/mine"}) == ("0.0.0.0", port)
    assert address({}, {"GRADIO_SERVER_PORT": str(port), "GRADIO_SERVER_NAME": "localhost"}) == ("localhost", port)
    assert address({"server_port": None}, {"GRADIO_SERVER_PORT": "abc"}) == ("127.0.0.1", 7860)  # counts instead


@pytest.mark.parametrize("text", ["abc", "0", "65536", "-1", "78.5", "7860 7861", "٧٨٦٠", "1" * 5000])
def test_what_is_no_port_is_told(text: str) -> None:
    with pytest.raises(AddressError) as told:
        address({}, {"GRADIO_SERVER_PORT": text})
    assert str(told.value).startswith(f"GRADIO_SERVER_PORT={text[:20]}")
    assert str(told.value).endswith(" is no port: give a number from 1 to 65535, or leave it unset for 7860.")
    assert len(str(told.value)) < 130


def test_a_port_in_use_is_told(taken: int) -> None:
    with pytest.raises(AddressError) as told:
        address({}, {"GRADIO_SERVER_PORT": str(taken)})
    assert str(told.value) == (
        f"Port {taken} is in use already. Stop what uses it, or choose another: "
        f"GRADIO_SERVER_PORT={taken + 1} python app.py"
    )


@pytest.mark.parametrize("host", ["a" * 300, "192.0.2.77"])
def test_what_is_no_address_of_this_machine_is_told(host: str) -> None:
    with pytest.raises(AddressError, match="GRADIO_SERVER_NAME"):
        address({}, {"GRADIO_SERVER_NAME": host, "GRADIO_SERVER_PORT": str(free())})


@pytest.mark.slow
@pytest.mark.parametrize("text", ["", "abc", "99999"])
def test_the_app_ends_with_the_sentence(text: str, taken: int) -> None:
    """Though Gradio, too, reads the port, when it is imported."""
    environment = os.environ | {"GRADIO_SERVER_PORT": text or str(taken)}
    command = [sys.executable, "app.py"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"GRADIO_SERVER_PORT={text} is no port" if text else f"Port {taken} is in use")
