"""What we keep true: one file per loop. Reconcilers write what is seen, never what was asked; they meet only in the
store.
"""
