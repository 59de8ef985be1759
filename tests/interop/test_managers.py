"""Managers and clients of the standard library of every Python here: their client on our server, our client on theirs."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from procession.managers import ListProxy, RemoteError, SyncManager
from tests.interop import manager_checks
from tests.interop.pythons import interpreters

PYTHONS = interpreters()
PEER = str(Path(__file__).with_name("manager_peer.py"))
KEY = b"the managers' key"
FAMILIES = ["AF_UNIX", "AF_INET"]
OurManager = manager_checks.define(SyncManager, ListProxy)

pytestmark = [pytest.mark.slow, pytest.mark.deadline(120)]


def start(python: str, *args: str) -> subprocess.Popen[str]:
    command = [PYTHONS[python], "-I", PEER, *args]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@contextmanager
def their_server(python: str, family: str) -> Iterator[Any]:
    """Its address."""
    with start(python, "serve", KEY.hex(), family) as peer:
        assert peer.stdout
        try:
            yield ast.literal_eval(peer.stdout.readline())
        finally:
            peer.terminate()


def our_server(family: str) -> SyncManager:
    return OurManager(address=("127.0.0.1", 0) if family == "AF_INET" else None, authkey=KEY)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("python", PYTHONS)
def test_their_client_finds_everything_on_our_server(python: str, family: str) -> None:
    with our_server(family) as manager, start(python, "call", KEY.hex(), repr(manager.address)) as peer:
        out, err = peer.communicate(timeout=100)
        assert (out.strip(), err) == ("all is well", "")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("python", PYTHONS)
def test_our_client_finds_everything_on_their_server(python: str, family: str) -> None:
    with their_server(python, family) as address:
        manager = OurManager(address=address, authkey=KEY)
        manager.connect()
        manager_checks.check(manager, RemoteError, takes_proxies=python != "3.8")


def test_our_client_finds_everything_on_our_server() -> None:
    for family in FAMILIES:
        with our_server(family) as manager:
            manager_checks.check(manager, RemoteError)
