"""Who leads a loop: one row per name. The token grows with every change of holder and stays while the same owner prolongs."""

from novitai.ports.store import Lease, LeaseLost
from novitai.stores import statements as sql
from novitai.stores.connection import Connection


def judge(conn: Connection, lease: Lease) -> None:
    """Raises LeaseLost when the lease is not held by this token."""
    held = conn.rows(sql.LEASE, {"lease_name": lease.name})
    if not held or held[0][1] != lease.token:
        raise LeaseLost(f"the lease {lease.name} is no longer held by token {lease.token}")


def acquire(conn: Connection, name: str, *, owner: str, now: float, until: float) -> Lease | None:
    """Take a free lease, prolong one's own, or None while another owner holds it."""
    token = 0
    for holder, held_token, held_until in conn.rows(sql.LEASE, {"lease_name": name}):
        if holder == owner:
            token = held_token
        elif held_until > now:
            return None
        conn.run(sql.DELETE_LEASE, {"lease_name": name, "held": held_token})
    if not token:
        [(token,)] = conn.rows(sql.TAKE_TOKENS, {"count": 1})
    conn.run(sql.INSERT_LEASE, {"name": name, "owner": owner, "token": token, "until": until})
    return Lease(name=name, owner=owner, token=token, until=until)


def release(conn: Connection, lease: Lease) -> None:
    """Give it back if it is still held by this token."""
    conn.run(sql.DELETE_LEASE, {"lease_name": lease.name, "held": lease.token})


def release_all(conn: Connection) -> None:
    """Free every lease: for an engine whose former process is known to be dead."""
    conn.run(sql.DELETE_LEASES, {})


def touch(conn: Connection) -> None:
    """Write something that nobody notices (a token that no one gets): succeeds exactly when a commit could be made."""
    conn.rows(sql.TAKE_TOKENS, {"count": 1})
