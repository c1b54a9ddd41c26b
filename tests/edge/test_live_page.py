"""The live page over a real socket: who is let in, what a browser may do, and what arrives when something changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice

import httpx
import pytest

from reconciler.edge.page_server import Address, PageServer
from reconciler.reports.html import policy

HERE = Address("127.0.0.1", 0)


@pytest.fixture
def server() -> Iterator[PageServer]:
    with PageServer(HERE, policy(live=True)) as found:
        found.page.show("<p>first</p>")
        yield found


@pytest.fixture
def guest(server: PageServer) -> Iterator[httpx.Client]:
    """Return a browser that has no token."""
    with httpx.Client(base_url=server.url.partition("?")[0], trust_env=False) as found:
        yield found


@pytest.fixture
def browser(server: PageServer, guest: httpx.Client) -> httpx.Client:
    """Return a browser that opened the address that was printed."""
    assert guest.get(server.url).status_code == 303
    return guest


def events(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each event."""
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


@pytest.mark.parametrize("path", ["/", "/events", "/favicon.ico", "/?token=", "/?token=wrong", "/?token=%ff", "/events?token={token}"])  # fmt: skip
def test_nothing_is_told_without_the_token(guest: httpx.Client, server: PageServer, path: str) -> None:
    answer = guest.get(path.format(token=server.page.door.token))
    assert answer.status_code == 403
    assert "first" not in answer.text
    assert not guest.cookies


def test_wrong_cookie_opens_nothing(guest: httpx.Client, server: PageServer) -> None:
    guest.cookies.set(server.page.door.cookie, "wrong")
    assert guest.get("/").status_code == 403


def test_token_becomes_a_cookie_and_leaves_the_address(guest: httpx.Client, server: PageServer) -> None:
    answer = guest.get(server.url)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert {"HttpOnly", "Path=/", "SameSite=lax"} <= set(answer.headers["set-cookie"].split("; "))
    assert guest.get("/").text == "<p>first</p>"


def test_each_start_has_another_token(server: PageServer) -> None:
    with PageServer(HERE, "") as other:
        assert other.page.door.token != server.page.door.token
    assert len(server.page.door.token) >= 43, "32 random bytes"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "evil.example:{port}", "127.0.0.1:1", "localhost.evil.example:{port}"])  # fmt: skip
def test_another_name_that_points_here_is_turned_away(browser: httpx.Client, server: PageServer, host: str) -> None:
    answer = browser.get("/", headers={"Host": host.format(port=server.page.door.port)})
    assert answer.status_code == 421
    assert "first" not in answer.text


def test_localhost_is_a_name_of_this_server(browser: httpx.Client, server: PageServer) -> None:
    assert browser.get("/", headers={"Host": f"LocalHost:{server.page.door.port}"}).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/", "/events"])
def test_nothing_can_be_changed(browser: httpx.Client, method: str, path: str) -> None:
    assert browser.request(method, path).status_code == 405


def test_browser_is_told_to_be_strict(browser: httpx.Client, guest: httpx.Client) -> None:
    for path in ("/", "/nowhere"):
        found = browser.get(path).headers
        assert found["content-security-policy"].startswith("default-src 'none'; ")
        assert found["content-security-policy"].endswith("; frame-ancestors 'none'")
        assert (found["cache-control"], found["x-content-type-options"], found["referrer-policy"]) == ("no-store", "nosniff", "no-referrer")  # fmt: skip
        assert "access-control-allow-origin" not in found
        assert "server" not in found


def test_before_the_first_look_the_browser_is_asked_to_come_again() -> None:
    with PageServer(HERE, "") as server, httpx.Client(trust_env=False, follow_redirects=True) as browser:
        answer = browser.get(server.url)
        assert (answer.status_code, answer.headers["refresh"]) == (503, "2")
        server.page.fail("dc1 does not answer")
        assert browser.get(server.url).text == "dc1 does not answer\n"


def test_what_is_shown_arrives_at_once_and_what_was_missed_does_not(browser: httpx.Client, server: PageServer) -> None:
    with browser.stream("GET", "/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        found = events(stream.iter_lines())
        assert next(found) == ("report", "<p>first</p>")
        server.page.show("<p>second\n\nevent: x</p>")
        assert next(found) == ("report", "<p>second\n\nevent: x</p>")
        server.page.fail("dc1 does not answer")
        assert next(found) == ("failed", "dc1 does not answer")
        server.page.show("<p>second\n\nevent: x</p>")
        assert next(found) == ("report", "<p>second\n\nevent: x</p>"), "that it works again is news too"
    server.page.show("<p>third</p>")
    server.page.show("<p>fourth</p>")
    with browser.stream("GET", "/events") as stream:
        assert list(islice(events(stream.iter_lines()), 1)) == [("report", "<p>fourth</p>")]


def test_stream_ends_with_the_server() -> None:
    with httpx.Client(trust_env=False) as browser:
        with PageServer(HERE, "") as server:
            server.page.show("x")
            browser.get(server.url)
            stream = browser.send(browser.build_request("GET", server.url.replace("/?", "/events?")), stream=True)
            lines = stream.iter_lines()
            assert next(lines) == "event: report"
        assert [line for line in lines if line.startswith("event")] == []
        with pytest.raises(httpx.ConnectError):
            browser.get(server.url)
