"""HTTPS, for real: a loopback server with a certificate of our own making."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from argus_tasks.delivery import transport
from argus_tasks.delivery.transport import HttpTransport
from tests.argus_server import ArgusServer, Faults

EVENT = b'{"event_id":"0","data":{}}\n'


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificate and key in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.fixture
def served(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> ArgusServer:
    """The Argus server of the tests behind TLS; its URL starts with https."""
    server = ArgusServer()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server._http.socket = context.wrap_socket(
        server._http.socket, server_side=True, do_handshake_on_connect=False
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    return server


@pytest.mark.parametrize("drips_headers", [False, True])
def test_a_request_s_deadline_holds(
    served: ArgusServer, monkeypatch: pytest.MonkeyPatch, drips_headers: bool
) -> None:
    """Each byte comes within the read timeout, and there would be a hundred of them."""
    with served:
        way = HttpTransport(served.url.replace("http://", "https://"), lambda: "em_x")
        assert way.post_events([EVENT]).status == 422, "it answers, over TLS"
        monkeypatch.setattr(transport, "_REQUEST_DEADLINE_S", 1.0)
        served.faults = Faults(status=200, drip_s=0.5, drip_headers=drips_headers)
        began = time.monotonic()
        answer = way._request("POST", "/api/events/batch", content=b"{}", deadline_s=1.0)
        took_s = time.monotonic() - began
        assert answer.status is None
        assert took_s < 9, "its deadline is 1 s; the whole answer would take 10 at least"
        served.heal()
        assert way.post_events([EVENT]).status == 422, "and the next one is well"
        way.close()
