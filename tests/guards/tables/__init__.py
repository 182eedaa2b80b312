"""Every guard, by the side of the package that it stands on."""

from tests.guards.tables import keeping, notebook, replies, sending, serving, showing

GUARDS = (
    *sending.GUARDS,
    *replies.GUARDS,
    *serving.GUARDS,
    *showing.GUARDS,
    *keeping.GUARDS,
    *notebook.GUARDS,
)
