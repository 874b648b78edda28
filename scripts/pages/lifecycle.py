"""The reference of states, drawn from the table that rules them."""

from pages.markdown import page, table

from novitai.domain.lifecycle import TABLE, State, diagram

INTRODUCTION = """# States of an instance

`running` means that Novita says so; `ready` means that the application answered its health checks. `failed` is not an
end: the machine, if there is one, is kept and still asked. `lost` means recorded but gone, on two pieces of evidence.

What is not drawn here does not happen: a request that the present state does not know is answered as what is already
under way or done, or refused with 409 `INVALID_STATE`; an observation that does not fit changes nothing."""


def lifecycle_page() -> str:
    """The diagram, then the same as a table for those who search."""
    rows = [
        (f"`{state}`", str(event), f"`{after}`") for state, steps in TABLE.items() for event, after in steps.items()
    ]
    ends = ", ".join(f"`{state}`" for state in State if not TABLE[state])
    return page(
        INTRODUCTION,
        f"```mermaid\n{diagram()}\n```",
        f"The only end is {ends}." if len(ends.split()) == 1 else f"Ends are {ends}.",
        table(("in", "when", "then"), rows),
    )
