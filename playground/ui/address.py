"""Where the app is served: host and port as the environment names them, looked at before anything is built."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Mapping
from typing import Any

HOST, PORT = "GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT"
USUAL, LAST = 7860, 65535


class AddressError(ValueError):
    """An address at which nothing can be served; the message is a sentence."""


def address(overrides: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> tuple[str, int]:
    """(host, port); on a Space every interface is served. AddressError if they are wrong or taken.

    Of `overrides`, those of the host and the port count instead, and what they name is not looked at.
    """
    host = environment.get(HOST) or ("0.0.0.0" if environment.get("SPACE_ID") else "127.0.0.1")
    if "server_port" in overrides or "server_name" in overrides:
        return host, USUAL
    port = _port(environment.get(PORT, "").strip())
    try:
        family, kind, proto, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise AddressError(f"{HOST}={host} is no address of this machine. Leave it unset for 127.0.0.1.") from error
    with socket.socket(family, kind, proto) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: what has ended is not in use
        try:
            tried.bind(where)
        except PermissionError as error:
            raise AddressError(f"Port {port} is not permitted to you. Choose one above 1023: {PORT}={USUAL}") from error
        except OSError as error:
            raise AddressError(_taken(host, port, error)) from error
    return host, port


def _port(text: str) -> int:
    if not text:
        return USUAL
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:6]) <= LAST:
        shown = text if len(text) <= 20 else f"{text[:20]}…"
        raise AddressError(f"{PORT}={shown} is no port: give a number from 1 to {LAST}, or leave it unset for {USUAL}.")
    return int(text)


def _taken(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        other = port + 1 if port < LAST else USUAL
        return f"Port {port} is in use already. Stop what uses it, or choose another: {PORT}={other} python app.py"
    return f"Nothing can be served at {host}, port {port}: {error.strerror}. Set {HOST} and {PORT} to others."
