# SPDX-License-Identifier: Apache-2.0
"""Text of others on a terminal or in a log: the only function that makes it safe to print.

Names of processes, environments, paths and reasons come from other users. Control characters in
them could move the cursor, colour or hide text, set the title, or start a line that looks like
ours. So each character that is not printable is shown as its escape, `\\x1b`.
"""

LONGEST = 2000  # characters of one text


def printable(text: str, *, lines: bool = False, longest: int = LONGEST) -> str:
    """`lines`: line ends stay. What is longer than `longest` characters is cut."""
    shown = text if len(text) <= longest else text[: longest - 1] + "…"
    if shown.isprintable():
        return shown
    return "".join(_shown(character, lines=lines) for character in shown)


def _shown(character: str, *, lines: bool) -> str:
    if character.isprintable() or (lines and character == "\n"):
        return character
    return character.encode("unicode_escape", "surrogatepass").decode()
