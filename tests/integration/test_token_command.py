"""`facepass-server token`, and what the doctor says of tokens and certificates."""

import stat
import time
from pathlib import Path

import pytest
from authority import CertificateAuthority, Signer, jwks

from common.auth.caller import Scope
from common.auth.keys import KeySet, Secret
from common.auth.tokens import TokenVerifier
from common.config import AuthSettings, TlsSettings
from common.errors import Unauthenticated
from common.metrics import Metrics
from standalone.cli import run
from standalone.doctor import Level
from standalone.doctor.security import check_security

DAY_S = 86_400
HERE, EVERYWHERE = ["127.0.0.1:1"], ["0.0.0.0:1"]


def mint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(["token", *arguments]) == 0
    return capsys.readouterr().out.strip()


async def test_a_new_key_and_a_token_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "keys"
    assert run(["token", "--new-key", str(folder)]) == 0
    for path in (folder / "key.pem", folder / "jwks.json"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "PRIVATE" not in (folder / "jwks.json").read_text()
    assert '"d"' not in (folder / "jwks.json").read_text()
    assert run(["token", "--new-key", str(folder)]) == 1  # never overwritten
    assert run(["token", "--key", str(folder / "key.pem")]) == 1
    assert "FACEPASS_AUTH__ISSUER is not set" in capsys.readouterr().err

    monkeypatch.setenv("FACEPASS_AUTH__ISSUER", "development")
    options = ("--key", str(folder / "key.pem"), "--subject", "me", "--scope", "search,index")
    token = mint(capsys, *options, "--event", "gala", "--event", "fair-*", "--for", "15m")
    keys = KeySet(str(folder / "jwks.json"), 300, Metrics())
    async with keys.kept_fresh():
        verifier = TokenVerifier(keys, "development", "facepass", 10)
        caller = (await verifier.verify(token)).caller
        assert (caller.subject, set(caller.scopes)) == ("me", {Scope.SEARCH, Scope.INDEX})
        assert caller.events == ("gala", "fair-*")
        with pytest.raises(Unauthenticated):
            await verifier.verify(mint(capsys, *options, "--for", "1s")[:-4])
    for wrong in (["--scope", "everything"], ["--event", "events/gala"], ["--for", "soon"]):
        with pytest.raises(SystemExit) as usage:
            run(["token", *options, *wrong])
        assert usage.value.code == 2
    (folder / "key.pem").chmod(0o644)
    assert run(["token", *options]) == 1


async def test_a_token_of_the_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("0123456789abcdef0123456789abcdef\n")
    secret.chmod(0o600)
    monkeypatch.setenv("FACEPASS_AUTH__ISSUER", "development")
    monkeypatch.setenv("FACEPASS_AUTH__SECRET_FILE", str(secret))
    verifier = TokenVerifier(Secret.read(str(secret)), "development", "facepass", 10)
    assert (await verifier.verify(mint(capsys, "--subject", "me"))).caller.subject == "me"


def found(listens: list[str], tls: TlsSettings, auth: AuthSettings, now_s: float = 0) -> set[str]:
    """What is not well, as `subject level text`."""
    return {
        f"{each.subject} {each.level.value} {each.text}"
        for each in check_security(listens, tls, auth, now_s or None)
        if each.level is not Level.OK
    }


def test_the_doctor_looks_at_certificates_and_keys(tmp_path: Path) -> None:
    certificate, key = CertificateAuthority("a").issue("server", days=30).write(tmp_path, "server")
    tls = TlsSettings(certificate=str(certificate), key=str(key))
    now_s = time.time()
    assert found(HERE, TlsSettings(), AuthSettings()) == set()
    assert found(EVERYWHERE, tls, AuthSettings(none=True)) == {
        "tokens warn none: anyone may do everything"
    }
    (open_,) = found(EVERYWHERE, TlsSettings(), AuthSettings())
    assert open_.startswith("security fail")
    assert found(HERE, tls, AuthSettings()) == set()
    (soon,) = found(HERE, tls, AuthSettings(), now_s + 20 * DAY_S)
    assert soon.startswith("tls warn") and "good for 10 more days" in soon
    assert found(HERE, tls, AuthSettings(), now_s + 31 * DAY_S) == {
        "tls fail the certificate has expired"
    }
    key.chmod(0o644)
    (rights,) = found(HERE, tls, AuthSettings())
    assert rights.startswith("tls fail") and "chmod o-rwx" in rights


def test_the_doctor_looks_at_tokens(tmp_path: Path) -> None:
    keys = tmp_path / "jwks.json"
    auth = AuthSettings(jwks=str(keys), issuer="i")
    (absent,) = found(HERE, TlsSettings(), auth)
    assert absent.startswith("tokens fail") and "no keys can be had" in absent
    keys.write_bytes(jwks(Signer.new("one")))
    keys.chmod(0o644)
    assert found(HERE, TlsSettings(), auth) == set()
    keys.chmod(0o666)
    (writable,) = found(HERE, TlsSettings(), auth)
    assert writable.startswith("tokens warn others may write")
