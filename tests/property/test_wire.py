"""However the bytes of a response are cut into pieces, and whatever they are, the reader comes to the same end and loses none."""

from __future__ import annotations

from dataclasses import dataclass

import h11
from hypothesis import given, settings
from hypothesis import strategies as st

from healtharchive.crawl.wire import HEAD_BYTES_MAX, NotHttp, ResponseReader
from healtharchive.warc.coding import dechunk

line_end = st.sampled_from([b"\r\n", b"\n"])
token = st.text("abcXYZ-", min_size=1, max_size=8).map(str.encode)
value = st.binary(max_size=12).map(lambda data: data.replace(b"\n", b"").replace(b"\r", b""))


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """Heads as they are met: some in order, some not."""
    lines = [
        draw(st.sampled_from([b"HTTP/1.1 200 OK", b"HTTP/1.0 404 Not Found", b"HTTP/1.1 204", b"HTTP/2 500  x", b"http 299 y"]))
    ]
    for _ in range(draw(st.integers(0, 4))):
        lines.append(
            draw(
                st.one_of(
                    st.tuples(token, value).map(lambda pair: pair[0] + b": " + pair[1]),
                    value.map(lambda text: b" " + text),
                    value.filter(lambda text: text != b""),
                    st.sampled_from(
                        [
                            b"Content-Length: 7",
                            b"Content-Length : 12",
                            b"content-length: 3, 3",
                            b"Content-Length: x",
                            b"Transfer-Encoding: chunked",
                            b"Transfer-Encoding: gzip",
                            b"Connection: close",
                        ]
                    ),
                )
            )
        )
    return b"".join(line + draw(line_end) for line in lines) + draw(line_end)


@st.composite
def chunked_bodies(draw: st.DrawFn) -> bytes:
    parts = []
    for data in draw(st.lists(st.binary(min_size=1, max_size=20), max_size=4)):
        parts.append(b"%x" % len(data) + draw(st.sampled_from([b"", b";ext=1", b" "])) + draw(line_end) + data + draw(line_end))
    parts.append(draw(st.sampled_from([b"0\r\n\r\n", b"0\n\n", b"0\r\nT: v\r\n\r\n", b"zz\r\n", b""])))
    return b"".join(parts)


bodies = st.one_of(st.binary(max_size=40), chunked_bodies())
interims = st.sampled_from([b"", b"\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 x\nLink: y\n\n\r\n"])
streams = st.one_of(st.tuples(interims, heads(), bodies).map(b"".join), st.binary(max_size=60))


@dataclass(frozen=True)
class Outcome:
    failure: str
    interim: bytes
    head: bytes
    body: bytes
    status: int
    headers: tuple[tuple[str, str], ...]
    truncated: str | None


def outcome(pieces: list[bytes], *, reset: bool, head_max: int = HEAD_BYTES_MAX, body_max: int = 1 << 20) -> Outcome:
    body: list[bytes] = []
    reader = ResponseReader(body.append, head_bytes_max=head_max, body_bytes_max=body_max)
    failure = ""
    try:
        for piece in pieces:
            if reader.feed(piece):
                break
        reader.end(reset=reset)
    except NotHttp as error:
        return Outcome(type(error).__name__, b"", b"", b"", 0, (), None)
    return Outcome(failure, reader.interim, reader.head, b"".join(body), reader.status, reader.headers, reader.truncated)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places} | {len(data)})
    return [data[begin:end] for begin, end in zip([0, *ends], ends, strict=False) if end > begin]


@given(stream=streams, places=st.lists(st.integers(0, 400), max_size=12), reset=st.booleans())
@settings(max_examples=400)
def test_any_cut_of_the_bytes_gives_the_same_exchange(stream: bytes, places: list[int], reset: bool) -> None:
    assert outcome(cut(stream, places), reset=reset) == outcome([stream], reset=reset)


@given(stream=streams, reset=st.booleans())
@settings(max_examples=300)
def test_byte_by_byte_gives_the_same_exchange(stream: bytes, reset: bool) -> None:
    assert outcome([bytes([byte]) for byte in stream], reset=reset) == outcome([stream], reset=reset)


@given(stream=streams, head_max=st.integers(8, 80), body_max=st.integers(0, 30), places=st.lists(st.integers(0, 400), max_size=8))
@settings(max_examples=400)
def test_limits_cut_at_the_same_byte_however_the_bytes_came(
    stream: bytes, head_max: int, body_max: int, places: list[int]
) -> None:
    whole = outcome([stream], reset=False, head_max=head_max, body_max=body_max)
    assert outcome(cut(stream, places), reset=False, head_max=head_max, body_max=body_max) == whole
    assert len(whole.head) <= head_max
    assert len(whole.body) <= body_max


@given(stream=streams)
@settings(max_examples=300)
def test_what_is_kept_is_a_beginning_of_what_was_received(stream: bytes) -> None:
    end = outcome([stream], reset=False)
    kept = end.interim + end.head + end.body
    if not end.failure:
        assert stream.startswith(kept)


well_formed_headers = st.lists(
    st.tuples(
        st.text("abcXYZ-_", min_size=1, max_size=8).filter(lambda name: name.strip("-_")),
        st.text("abc =;,:1", max_size=12).map(str.strip),
    ),
    max_size=5,
)


@given(
    status=st.sampled_from([200, 204, 304, 404, 500]),
    headers=well_formed_headers,
    data=st.binary(max_size=60),
    framing=st.sampled_from(["length", "chunked", "close"]),
)
def test_well_formed_response_is_read_as_h11_reads_it(
    status: int, headers: list[tuple[str, str]], data: bytes, framing: str
) -> None:
    if status in (204, 304):
        data, framing = b"", "close"
    lines = "".join(f"{name}: {text}\r\n" for name, text in headers).encode()
    body = data
    if framing == "length":
        lines += b"Content-Length: %d\r\n" % len(data)
    elif framing == "chunked":
        lines += b"Transfer-Encoding: chunked\r\n"
        body = b"".join(b"%x\r\n%s\r\n" % (len(data[i : i + 7]), data[i : i + 7]) for i in range(0, len(data), 7)) + b"0\r\n\r\n"
    stream = b"HTTP/1.1 %d Fine\r\n%s\r\n%s" % (status, lines, body)

    judge = h11.Connection(h11.CLIENT)
    judge.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    judge.send(h11.EndOfMessage())
    judge.receive_data(stream)
    response = judge.next_event()
    assert isinstance(response, h11.Response)
    entity = b""
    while not isinstance(event := judge.next_event(), h11.EndOfMessage):
        if event is h11.NEED_DATA:
            judge.receive_data(b"")
        elif isinstance(event, h11.Data):
            entity += event.data

    ours = outcome([stream], reset=False)
    assert ours.status == response.status_code
    assert [(name.lower(), text) for name, text in ours.headers] == [
        (name.decode(), text.decode("latin-1")) for name, text in response.headers
    ]
    assert (b"".join(dechunk([ours.body])) if framing == "chunked" else ours.body) == entity
    assert ours.truncated is None


@given(datas=st.lists(st.binary(min_size=1, max_size=50), max_size=5), places=st.lists(st.integers(0, 400), max_size=8))
def test_dechunked_body_is_what_was_chunked(datas: list[bytes], places: list[int]) -> None:
    framed = b"".join(b"%x\r\n%s\r\n" % (len(data), data) for data in datas) + b"0\r\n\r\n"
    stream = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + framed
    end = outcome(cut(stream, places), reset=False)
    assert end.body == framed
    assert end.truncated is None
    assert b"".join(dechunk(cut(framed, places))) == b"".join(datas)
