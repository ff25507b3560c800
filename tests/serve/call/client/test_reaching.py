"""How a provider is reached: TLS, and the proxies of the environment."""

import asyncio
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from equirouter.errors import ConfigError, UpstreamError
from equirouter.serve.call.client.pool import HttpClient
from equirouter.serve.call.client.reaching import Proxy, Way, way_to
from tests.serve.call.client.providers import OK, Handler, asked, provider, request, upstream_of

NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
PROXY = Proxy("proxy.test", 3128, "")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate of its own for provider.test and localhost, in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-keyout", str(path), "-out", str(path.with_suffix(".crt"))]
    command += ["-subj", "/CN=equirouter", "-addext"]
    command += ["subjectAltName=DNS:localhost,DNS:provider.test"]
    subprocess.run(command, check=True, capture_output=True)
    path.write_text(path.read_text() + path.with_suffix(".crt").read_text())
    return path


class TlsProvider:
    """Answers over TLS. names: the hosts that clients asked for. context: for a server."""

    def __init__(self, certificate: Path) -> None:
        self.names: list[str | None] = []
        self.protocols: list[str | None] = []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate)
        self.context.set_alpn_protocols(["h2", "http/1.1"])
        self.context.sni_callback = lambda _socket, name, _context: self.names.append(name)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """As Handler."""
        self.protocols.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        while True:
            await request(reader)
            writer.write(OK)


def test_a_provider_over_tls_is_verified_and_told_its_name(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    handler = TlsProvider(certificate)

    async def run() -> None:
        async with provider(handler, ssl=handler.context) as url, HttpClient() as client:
            secure = url.replace("http://127.0.0.1", "https://localhost")
            upstream = upstream_of(client, secure, connect_seconds=20)
            assert await asked(upstream) == (200, b"ok")
            assert await asked(upstream) == (200, b"ok")
            assert (handler.names, handler.protocols) == (["localhost"], ["http/1.1"])
            # the certificate is for names, not for an address
            with pytest.raises(UpstreamError, match="certificate verify failed") as failed:
                await asked(upstream_of(client, url.replace("http:", "https:")))
            assert (failed.value.outcome, failed.value.may_cost) == ("connect", False)

    asyncio.run(run())


def test_a_certificate_that_nobody_trusts_is_refused(certificate: Path) -> None:
    handler = TlsProvider(certificate)

    async def run() -> None:
        async with provider(handler, ssl=handler.context) as url, HttpClient() as client:
            secure = url.replace("http://127.0.0.1", "https://localhost")
            with pytest.raises(UpstreamError, match="certificate verify failed"):
                await asked(upstream_of(client, secure))

    asyncio.run(run())


def test_a_server_without_tls_is_no_provider_over_tls() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async def run() -> None:
        async with provider(handler) as url, HttpClient() as client:
            with pytest.raises(UpstreamError) as failed:
                await asked(upstream_of(client, url.replace("http:", "https:")))
            assert failed.value.outcome == "connect"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("url", "environment", "proxy"),
    [
        ("http://provider.test/v1", {}, None),
        ("http://provider.test/v1", {"HTTP_PROXY": "http://proxy.test:3128"}, PROXY),
        ("http://provider.test/v1", {"http_proxy": "proxy.test:3128"}, PROXY),
        ("http://provider.test/v1", {"HTTPS_PROXY": "http://proxy.test:3128"}, None),
        ("https://provider.test/v1", {"HTTPS_PROXY": "http://proxy.test:3128/"}, PROXY),
        ("https://provider.test/v1", {"ALL_PROXY": "http://proxy.test:3128"}, PROXY),
        ("http://p.test", {"HTTP_PROXY": "http://x.test"}, Proxy("x.test", 80, "")),
        (
            "http://provider.test",
            {"HTTP_PROXY": "http://me:a%40b@proxy.test:3128"},
            Proxy("proxy.test", 3128, "Basic bWU6YUBi"),  # me:a@b
        ),
        ("http://provider.test", {"HTTP_PROXY": "http://x", "NO_PROXY": "provider.test"}, None),
        ("http://a.provider.test", {"HTTP_PROXY": "http://x", "NO_PROXY": ".provider.test"}, None),
        ("http://provider.test:81", {"HTTP_PROXY": "http://x", "NO_PROXY": "*"}, None),
        ("http://127.0.0.1:8080/v1", {"HTTP_PROXY": "http://proxy.test:3128"}, None),
        ("http://[::1]:8080/v1", {"HTTP_PROXY": "http://proxy.test:3128"}, None),
        ("http://localhost/v1", {"HTTP_PROXY": "http://proxy.test:3128"}, None),
        ("http://10.0.0.1/v1", {"HTTP_PROXY": "http://proxy.test:3128"}, PROXY),
    ],
)
def test_the_environment_names_the_proxy(
    url: str, environment: dict[str, str], proxy: Proxy | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert way_to(url).proxy == proxy


@pytest.mark.parametrize("url", ["https://proxy.test:3128", "socks5://proxy.test", "http://"])
def test_another_kind_of_proxy_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", url)
    with pytest.raises(ConfigError, match="expected something like http://"):
        way_to("https://provider.test/v1")


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("http://provider.test/v1", "provider.test"),
        ("https://provider.test:443", "provider.test"),
        ("https://provider.test:80", "provider.test:80"),
        ("http://[::1]:8080/v1", "[::1]:8080"),
        ("https://bücher.test", "xn--bcher-kva.test"),
    ],
)
def test_a_host_is_named_as_http_does(url: str, authority: str) -> None:
    assert way_to(url).authority == authority
    assert isinstance(way_to(url), Way)


async def through(handler: Handler, url: str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, bytes]:
    """What a provider at an address answers through such a proxy."""
    async with provider(handler) as proxy, HttpClient() as client:
        proxy = proxy.removesuffix("/v1").replace("//", "//me:secret@")
        monkeypatch.setenv("HTTP_PROXY", proxy)
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        return await asked(upstream_of(client, url, connect_seconds=20))


def test_a_proxy_is_asked_for_the_whole_address(monkeypatch: pytest.MonkeyPatch) -> None:
    heads = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await request(reader))[0].split(b"\r\n"))
        writer.write(OK)
        await reader.read()

    async def run() -> None:
        answer = await through(proxy, "http://provider.test:81/v1", monkeypatch)
        assert answer == (200, b"ok")
        assert heads[0][0] == b"POST http://provider.test:81/v1/chat/completions HTTP/1.1"
        assert heads[0][1] == b"host: provider.test:81"
        assert b"proxy-authorization: Basic bWU6c2VjcmV0" in heads[0]

    asyncio.run(run())


def test_a_proxy_passes_tls_on_unread(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    handler, heads = TlsProvider(certificate), []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n")
        await writer.start_tls(handler.context)
        await handler(reader, writer)

    async def run() -> None:
        answer = await through(proxy, "https://provider.test/v1", monkeypatch)
        assert answer == (200, b"ok")
        assert handler.names == ["provider.test"]
        assert heads == [
            b"CONNECT provider.test:443 HTTP/1.1\r\nHost: provider.test:443\r\n"
            b"Proxy-Authorization: Basic bWU6c2VjcmV0\r\n\r\n"
        ]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 3\r\n\r\nno!", "407"),
        (b"HTTP/1.1 200 OK\r\n\r\nmore", "200"),
        (b"HTTP/1.1 20", "the connection ended"),
        (b"SOCKS\r\n\r\n", "not HTTP/1"),
    ],
)
def test_a_proxy_that_does_not_pass_on_is_a_failure_to_connect(
    answer: bytes, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)

    async def run() -> None:
        with pytest.raises(UpstreamError, match=why) as failed:
            await through(proxy, "https://provider.test/v1", monkeypatch)
        assert (failed.value.outcome, failed.value.may_cost) == ("connect", False)
        assert "secret" not in str(failed.value)

    asyncio.run(run())
