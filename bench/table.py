"""A table of text cells, plain or as Markdown."""


class Table:
    def __init__(self, heads, markdown):
        self.heads, self.markdown, self.rows = tuple(heads), markdown, []

    def row(self, cells):
        self.rows.append(tuple(cells))

    def __str__(self):
        columns = list(zip(self.heads, *self.rows))
        widths = [max(map(len, column)) for column in columns]
        rule = tuple("-" * width for width in widths)
        lines = [self.heads, rule, *self.rows]
        return "\n".join(self.line(cells, widths) for cells in lines)

    def line(self, cells, widths):
        padded = [cell.ljust(width) for cell, width in zip(cells, widths)]
        return f"| {' | '.join(padded)} |" if self.markdown else "  ".join(padded).rstrip()
