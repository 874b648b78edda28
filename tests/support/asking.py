"""Bodies that tests of the API send, with only what matters said by the test."""

from typing import Any


def create_body(**fields: Any) -> dict[str, Any]:
    """A create that the scripted provider's catalogue can serve."""
    usual: dict[str, Any] = {
        "name": "worker",
        "productName": "RTX 4090",
        "imageUrl": "docker.io/library/nginx:1",
        "ports": [{"port": 8080, "type": "http"}],
    }
    return usual | fields
