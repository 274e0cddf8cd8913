"""Records as lines or as JSON, the way `franz` reads and writes them too."""

import base64
import json
from dataclasses import dataclass, field


@dataclass
class Record:
    value: bytes | None
    key: bytes | None = None
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)
    timestamp: int = 0  # milliseconds; 0 when sending means now
    offset: int = -1


def _decode(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def _encode(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def parse(line: bytes, as_json: bool) -> Record:
    """One input line, without its newline, as a record to send."""
    if not as_json:
        return Record(value=line)
    fields = json.loads(line)
    headers = [(h["n"], _decode(h["v"])) for h in fields.get("h", [])]
    return Record(_decode(fields["v"]), _decode(fields.get("k")), headers, fields.get("t", 0))


def render(record: Record, as_json: bool) -> bytes:
    """One received record as an output line, newline included."""
    if not as_json:
        return (record.value or b"") + b"\n"
    fields = {
        "k": _encode(record.key),
        "v": _encode(record.value),
        "h": [{"n": name, "v": _encode(value)} for name, value in record.headers],
        "t": record.timestamp,
        "o": record.offset,
    }
    return json.dumps(fields).encode() + b"\n"
