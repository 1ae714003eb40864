"""One self-contained HTML page a run: `motherlode.report.page.write`."""
