"""A notebook of marimo."""

import marimo

app = marimo.App()


@app.cell
def _():  # type: ignore[no-untyped-def]
    print("printed by a cell")


@app.cell
def _():  # type: ignore[no-untyped-def]
    answer = 6 * 7
    answer  # noqa: B018 (the cell's output)
    return (answer,)


if __name__ == "__main__":
    app.run()
