"""What can go wrong in the demo."""


class DemoFailed(Exception):
    """The demo cannot go on; the message is for the person who watches."""
