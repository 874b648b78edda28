"""The Novitai server: a self-hosted control plane for GPU instances on Novita.ai."""
