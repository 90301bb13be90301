"""The two shapes of every table in a terminal: rows under headings, and facts beside their names."""

from __future__ import annotations

from collections.abc import Collection

from rich.table import Table


def rows_under(
    *headings: str, right: Collection[str] = (), whole: Collection[str] = (), fold: bool = False
) -> Table:
    """Make an empty table without lines.

    Args:
        right: the headings of the columns that are aligned to the right.
        whole: the headings of the columns whose cells stay on one line.
        fold: break long cells over several lines instead of cutting them.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(
            heading,
            justify="right" if heading in right else "left",
            overflow="fold" if fold else "ellipsis",
            no_wrap=heading in whole,
        )
    return table


def facts() -> Table:
    """Make an empty table of two columns: a fact's name, and the fact."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    return table
