"""The command `concert`: everything that a person or a script asks of a coordinator, through the client.

`import concert` never comes here, so that the client does not need typer or rich.
"""
