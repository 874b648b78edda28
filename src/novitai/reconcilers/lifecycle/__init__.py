"""One instance, one step at a time, toward what was asked."""

from novitai.reconcilers.lifecycle.reconciler import LifecycleReconciler, LifecycleSettings

__all__ = ["LifecycleReconciler", "LifecycleSettings"]
