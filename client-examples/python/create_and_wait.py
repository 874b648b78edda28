"""Rent a GPU, use what runs on it, give it back.

export NOVITAI_URL=http://127.0.0.1:3000 NOVITAI_API_KEY=nvk_…
python create_and_wait.py my-model --product "RTX 4090 24GB" --image nginx:1.27 --port 80/http
"""

import argparse
import sys

from novitai_client import Client, Instance, NoCapacity, NovitaiError, StartupFailed, WaitTimedOut


def main() -> int:
    asked = arguments()
    with Client() as novitai:
        try:
            created = novitai.create(
                asked.name,
                product=asked.product,
                image_url=asked.image,
                ports=asked.port,
                max_price=asked.max_price,
            )
            print(f"{created.product_name} in {created.region} at ${created.price_per_hour:g} an hour")
            instance = novitai.wait_until_ready(created.instance_id, timeout=asked.wait, on_change=tell)
            use(instance)
        except NoCapacity as refused:
            for offer in refused.offers:
                print(f"  {offer.region}: {offer.reason}", file=sys.stderr)
            return failed(refused)
        except (StartupFailed, WaitTimedOut) as trouble:
            failed(trouble)
            novitai.delete(trouble.instance.id)  # a machine that is kept costs money
            return 1
        except NovitaiError as error:
            return failed(error)
        novitai.delete(instance.id)
    print("given back")
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--product", default="RTX 4090 24GB")
    parser.add_argument("--image", default="nginx:1.27")
    parser.add_argument("--port", action="append", default=None, help="such as 8080/http")
    parser.add_argument("--max-price", type=float, help="USD per hour")
    parser.add_argument("--wait", type=float, default=900, help="seconds until it must be ready")
    return parser.parse_args()


def tell(instance: Instance) -> None:
    print(f"  {instance.status}")


def use(instance: Instance) -> None:
    """Your work comes here; this only says where the machine answers."""
    for port in instance.port_mappings:
        print(f"port {port.port} answers at {port.endpoint}")


def failed(error: Exception) -> int:
    print(f"failed: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
