"""Show texts of users, files and servers on a terminal without executing control characters."""

from __future__ import annotations

# Control characters except tab and line feed, characters that change the direction of writing, and
# those that some programs take for the end of a line. Escaped as in JSON, so that JSON stays valid.
_ACTING = {
    code: f"\\u{code:04x}"
    for code in (
        *(code for code in range(0x20) if chr(code) not in "\t\n"),
        *range(0x7F, 0xA0),
        *(0x200E, 0x200F, 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)),
    )
}


def visible(text: str) -> str:
    """The text with each control character escaped: `\\u001b`."""
    return text.replace("\r\n", "\n").translate(_ACTING)
