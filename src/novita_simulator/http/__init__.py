"""The world on a socket: Novita's public, internal and account endpoints, the control API, and faults on real connections."""
