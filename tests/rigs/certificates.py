"""A certificate authority for one test, and server certificates signed by it."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.rigs.require import require


@dataclass(frozen=True)
class Certificate:
    """Files of a server's certificate (with key) and of the authority that a client must trust."""

    chain: Path
    key: Path
    authority: Path

    def server_context(self, *protocols: str) -> ssl.SSLContext:
        """TLS for a server that offers `protocols` (ALPN), in its order of preference."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain, self.key)
        if protocols:
            context.set_alpn_protocols(list(protocols))
        return context


def certificate(directory: Path, *names: str) -> Certificate:
    """Make an authority and a certificate for `names` (host names or addresses) in `directory`."""
    openssl = require("openssl", "openssl")
    directory.mkdir(parents=True, exist_ok=True)
    subject = ",".join(f"IP:{name}" if name.replace(".", "").isdigit() else f"DNS:{name}" for name in names)

    def run(*arguments: str | Path) -> None:
        subprocess.run([str(openssl), *map(str, arguments)], check=True, capture_output=True, timeout=30)

    authority, authority_key = directory / "authority.pem", directory / "authority.key"
    chain, key, wanted = directory / "server.pem", directory / "server.key", directory / "server.csr"
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    run("req", "-x509", *new_key, "-keyout", authority_key, "-out", authority, "-days", "2", "-subj", "/CN=test authority")
    run("req", *new_key, "-keyout", key, "-out", wanted, "-subj", "/CN=test", "-addext", f"subjectAltName={subject}")
    signed_by = ("-CA", authority, "-CAkey", authority_key, "-CAcreateserial")
    run("x509", "-req", "-in", wanted, *signed_by, "-out", chain, "-days", "2", "-copy_extensions", "copy")
    return Certificate(chain, key, authority)
