"""What notebooks show of our objects: plain tables and text that need no style sheet, script or network."""

from html import escape


def table(header, rows, caption: str = "") -> str:
    """A table; `header` and the cells are texts and are escaped here, the caption too."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    title = f'<caption style="text-align: left; white-space: nowrap">{escape(caption)}</caption>' if caption else ""
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def preformatted(text: str) -> str:
    """Text as it stands."""
    return f"<pre>{escape(text)}</pre>"
