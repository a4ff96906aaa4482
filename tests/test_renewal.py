"""A certificate that is renewed while the service runs is shown to the next client, and a wrong one never is."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest

from scanner.errors import UnusableFile
from scanner.serve.renewal import Renewal
from scanner.serve.server import tls


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate for a name, and its key."""
    pair = folder / f"{name}.crt", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-out", pair[0], "-keyout", pair[1]],
        check=True, capture_output=True,
    )  # fmt: skip
    return pair


def shown(context: ssl.SSLContext) -> bytes:
    """The certificate that a client of a server with this context sees."""
    ours, theirs = socket.socketpair()
    found: list[bytes | None] = []

    def client() -> None:
        asking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        asking.check_hostname, asking.verify_mode = False, ssl.CERT_NONE
        with asking.wrap_socket(theirs) as connection:
            found.append(connection.getpeercert(binary_form=True))

    thread = threading.Thread(target=client)
    thread.start()
    with context.wrap_socket(ours, server_side=True):
        thread.join()
    assert found[0] is not None
    return found[0]


def der(path: Path) -> bytes:
    """A certificate's bytes."""
    return ssl.PEM_cert_to_DER_cert(path.read_text())


def test_a_renewed_certificate_is_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Looked at every half minute; a key that does not belong to it leaves the old one in force."""
    first, second, third = (certificate(tmp_path, name) for name in ("first", "second", "third"))
    used = tmp_path / "tls.crt", tmp_path / "tls.key"
    for source, target in zip(first, used, strict=True):
        shutil.copy(source, target)
    context = tls(*used, None, False)
    seconds = [0.0]
    renewal = Renewal(context, *used, clock=lambda: seconds[0])

    shutil.copy(second[0], used[0])
    renewal()
    assert shown(context) == der(first[0])  # it is not looked at yet
    seconds[0] = 31.0
    renewal()
    assert shown(context) == der(first[0])  # the key is still the old one's
    shutil.copy(second[1], used[1])
    seconds[0] = 62.0
    renewal()
    assert shown(context) == der(second[0])
    used[0].unlink()
    used[0].symlink_to(third[0])
    used[1].unlink()
    used[1].symlink_to(third[1])
    seconds[0] = 93.0
    renewal()
    assert shown(context) == der(third[0])
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING", "WARNING"]


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """OpenSSL tells the reason alone, and there are up to three files."""
    pair, (_, other), none = certificate(tmp_path, "one"), certificate(tmp_path, "two"), tmp_path / "none.pem"
    wrong = [
        ((none, pair[1], None), "none.pem cannot be read: No such file"),
        ((pair[0], none, None), "none.pem cannot be read: No such file"),
        ((*pair, none), "none.pem cannot be read: No such file"),
        ((pair[0], other, None), r"one.crt, or its key .*two.key, cannot be used: KEY_VALUES_MISMATCH"),
        ((*pair, pair[1]), "authorities of client certificates, .*one.key, cannot be used: NO_CERTIFICATE"),
    ]  # fmt: skip
    for files, reason in wrong:
        with pytest.raises(UnusableFile, match=reason):
            tls(*files, False)
