"""What the program tells about itself: logs and metrics. Knows no instances, no ports and no policies; everybody may
use it.
"""
