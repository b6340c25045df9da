"""One object read over plain HTTP: as the emulator and a metadata server on loopback have it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from shared.cloud.plain_read import read_plainly
from shared.settings import PlainStorage


class Place:
    """A metadata server and a storage server in one: what each is asked, and what it answers."""

    def __init__(self) -> None:
        """Everything is as documented."""
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.token: tuple[int, bytes] = (
            200,
            json.dumps({"access_token": "ya29.canary", "expires_in": 3599, "token_type": "Bearer"}).encode(),
        )
        self.content: tuple[int, bytes] = (206, b"version: 1")
        self.headers: dict[str, str] = {}
        place = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                place.asked.append((self.path, dict(self.headers)))
                signing_in = self.path.startswith("/computeMetadata")
                status, body = place.token if signing_in else place.content
                self.send_response(status)
                for name, value in {"content-length": str(len(body)), **({} if signing_in else place.headers)}.items():
                    if value:
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        host = f"127.0.0.1:{self.server.server_port}"
        self.where = PlainStorage(f"http://{host}", host)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def place() -> Iterator[Place]:
    """Both servers on loopback."""
    found = Place()
    yield found
    found.server.shutdown()
    found.server.server_close()


def test_an_object_is_read_as_the_functions_service_account(place: Place) -> None:
    """The token comes from the metadata server and goes to Cloud Storage, with the range that is wanted."""
    assert read_plainly(place.where, "acme-ml-watchdog", "a b/policy.yaml", 1000) == b"version: 1"
    (token, told), (path, sent) = place.asked
    assert (token, told["Metadata-Flavor"]) == ("/computeMetadata/v1/instance/service-accounts/default/token", "Google")
    assert path == "/download/storage/v1/b/acme-ml-watchdog/o/a%20b%2Fpolicy.yaml?alt=media"
    assert (sent["Authorization"], sent["Range"]) == ("Bearer ya29.canary", "bytes=0-999")


GOOD = (200, b'{"access_token": "ya29.canary"}')
HEADERS: dict[str, str] = {}


@pytest.mark.parametrize(
    ("token", "content", "headers"),
    [
        ((404, b""), (206, b"x"), HEADERS),
        ((200, b"{}"), (206, b"x"), HEADERS),
        ((200, b"[]"), (206, b"x"), HEADERS),
        ((200, b"no"), (206, b"x"), HEADERS),
        ((200, b'{"access_token": "ya29.canary\\n"}'), (206, b"x"), HEADERS),
        (GOOD, (302, b""), {"location": "https://example.com/"}),
        (GOOD, (404, b"x"), HEADERS),
        (GOOD, (503, b"x"), HEADERS),
        (GOOD, (416, b""), HEADERS),
        (GOOD, (206, b"half"), {"content-length": "8"}),
        (GOOD, (206, b"without an end"), {"content-length": ""}),
        (GOOD, (206, b"\x1f\x8b"), {"content-encoding": "gzip"}),
        (GOOD, (200, b"x" * 1001), HEADERS),
        (GOOD, (200, b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n"), {"transfer-encoding": "chunked", "content-length": ""}),
        (GOOD, (200, b"8\r\nhalf"), {"transfer-encoding": "chunked", "content-length": ""}),
    ],
)
def test_whatever_is_not_as_expected_is_left_to_the_client(
    place: Place, caplog: pytest.LogCaptureFixture, token: tuple[int, bytes], content: tuple[int, bytes], headers: dict[str, str]
) -> None:
    """Nothing is followed, tried again or raised; the log says that it was so, and no token."""
    caplog.set_level("INFO")
    place.token, place.content, place.headers = token, content, headers
    assert read_plainly(place.where, "acme-ml-watchdog", "policy.yaml", 1000) is None
    assert "gs://acme-ml-watchdog/policy.yaml could not be read plainly" in caplog.text
    assert "canary" not in caplog.text


def test_an_answer_in_chunks(place: Place) -> None:
    """They say themselves where they end."""
    place.content, place.headers = (200, b"5\r\nversi\r\n5\r\non: 1\r\n0\r\n\r\n"), {"transfer-encoding": "chunked", "content-length": ""}
    assert read_plainly(place.where, "acme-ml-watchdog", "policy.yaml", 1000) == b"version: 1"


def test_a_server_that_is_not_there_is_left_to_the_client(place: Place) -> None:
    """As any other."""
    assert read_plainly(PlainStorage(place.where.server, "127.0.0.1:1"), "acme-ml-watchdog", "policy.yaml", 1000) is None
    assert place.asked == []
