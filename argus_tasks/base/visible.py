"""Texts of users, files and servers on a terminal: shown, and never obeyed."""

from __future__ import annotations

# Control characters of old and new terminals but tab and line feed, what turns the direction of
# writing, and what other programs take for the end of a line. As JSON has them, so that JSON stays.
_ACTING = {
    code: f"\\u{code:04x}"
    for code in (
        *(code for code in range(0x20) if chr(code) not in "\t\n"),
        *range(0x7F, 0xA0),
        *(0x200E, 0x200F, 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)),
    )
}


def visible(text: str) -> str:
    """The text with each character that a terminal would act on written out: `\\u001b`."""
    return text.replace("\r\n", "\n").translate(_ACTING)
