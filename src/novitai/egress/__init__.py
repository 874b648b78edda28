"""The one guarded HTTP client for addresses that users or machines name: webhooks and health checks.

Whoever can make a server call an address can make it call its own insides. So every connection made here goes through
one guard, which looks at the address about to be dialled, and every call has a deadline that holds, whatever the peer
does. Knows nothing of webhooks or instances.
"""
