"""The certificates of a group, and the TLS settings that ask for them.

The authority's certificate is the same on every member, since all of it follows from the group key. A member
issues its own under it. Neither ever ends: who has the key could issue another at once, and a machine whose clock
is wrong by years is a member all the same. What does end a membership is a new group.

Python's `ssl` reads a private key from a file only. It gets one in a folder of our own (0700) that is gone
when the context is made, and the key in it is encrypted with a password that only this call has known: so the file
is worthless wherever a copy of it may end up, and it works on every platform, as a file in memory would not.
"""

from __future__ import annotations

import datetime
import hashlib
import secrets
import ssl
import tempfile
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.x509.oid import NameOID

from shoal.disk.faults import file_fault
from shoal.errors import PeerError
from shoal.fetch.group.signing import MEMBER_LENGTH, MemberKey

# The same in all groups: certificates tell nobody what a group is called.
AUTHORITY_NAME: Final = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "shoal group")])
MEMBER_NAME: Final = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "shoal member")])
BEGINS: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
ENDS: Final = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)  # "never", RFC 5280 4.1.2.5
_SERIAL_LENGTH: Final = 16  # bytes


def authority_certificate(authority_seed: bytes) -> x509.Certificate:
    """The same bytes for the same seed, whoever makes it."""
    private = Ed25519PrivateKey.from_private_bytes(authority_seed)
    builder = _builder(AUTHORITY_NAME, private.public_key(), private, BEGINS, ENDS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return builder.add_extension(_usage(signs_certificates=True), critical=True).sign(private, None)


def member_certificate(
    authority_seed: bytes,
    member: MemberKey,
    *,
    begins: datetime.datetime = BEGINS,
    ends: datetime.datetime = ENDS,
) -> x509.Certificate:
    """What a member shows; the authority's word that this public key is of the group."""
    authority = Ed25519PrivateKey.from_private_bytes(authority_seed)
    builder = _builder(MEMBER_NAME, member.private.public_key(), authority, begins, ends)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    return builder.add_extension(_usage(signs_certificates=False), critical=True).sign(authority, None)


def member_of(certificate: bytes) -> bytes:
    """The member's public key, 32 bytes, from the certificate (DER) that it proved in TLS. Raises `PeerError`."""
    try:
        public = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise PeerError("its certificate cannot be read") from None
    if not isinstance(public, Ed25519PublicKey):
        raise PeerError("its certificate is not of an Ed25519 key")
    member = public.public_bytes_raw()
    assert len(member) == MEMBER_LENGTH
    return member


def tls_context(
    authority: x509.Certificate,
    certificate: x509.Certificate,
    private: Ed25519PrivateKey,
    *,
    is_server: bool,
) -> ssl.SSLContext:
    """TLS 1.3 alone, certificates of this authority alone, on both sides; nothing of one connection serves another.

    Raises `FileError`, `DiskFullError`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # the name says which group is meant, not who answers
    context.verify_mode = ssl.CERT_REQUIRED
    context.options |= ssl.OP_NO_TICKET
    if is_server:
        context.num_tickets = 0
    context.load_verify_locations(cadata=authority.public_bytes(Encoding.DER))
    _load_key(context, certificate, private)
    return context


def _load_key(context: ssl.SSLContext, certificate: x509.Certificate, private: Ed25519PrivateKey) -> None:
    password = secrets.token_bytes(32).hex()
    encryption = BestAvailableEncryption(password.encode())
    key = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    try:
        with tempfile.TemporaryDirectory(prefix="shoal-") as folder:
            path = Path(folder) / "member.pem"
            path.write_bytes(key + certificate.public_bytes(Encoding.PEM))
            context.load_cert_chain(path, password=password)
    except ssl.SSLError:
        raise  # ours was wrong: a bug
    except OSError as error:
        raise file_fault(error, tempfile.gettempdir(), "preparing the certificate of a group") from error


def _builder(
    name: x509.Name,
    public: Ed25519PublicKey,
    authority: Ed25519PrivateKey,
    begins: datetime.datetime,
    ends: datetime.datetime,
) -> x509.CertificateBuilder:
    """What both kinds have in common. The serial follows from the key, so that it is fixed, and another for each."""
    serial = int.from_bytes(hashlib.sha256(public.public_bytes_raw()).digest()[:_SERIAL_LENGTH], "big")
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(AUTHORITY_NAME)
        .public_key(public)
        .serial_number(max(serial, 1))
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False
        )
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
