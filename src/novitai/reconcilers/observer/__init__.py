"""One list poll of Novita per interval serves everybody: status, spot notices, vanished machines, unknown machines.

A sweep reads every page; what it shows is taken, what it does not show is doubted and read singly before anything is
concluded. Nothing here changes anything on Novita.
"""

from novitai.reconcilers.observer.loop import Observer, ObserverSettings, SweepTold, moving, wants_looking

__all__ = ["Observer", "ObserverSettings", "SweepTold", "moving", "wants_looking"]
