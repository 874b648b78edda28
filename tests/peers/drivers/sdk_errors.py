"""What novita-sdk makes of the refusals it meets most. Prints one JSON object."""

import json
import sys

from novita import AuthenticationError, BadRequestError, CreateInstanceRequest, NovitaClient

url = sys.argv[1]


def bad_key():
    with NovitaClient(api_key="bad-key", base_url=url) as client:
        try:
            client.gpu.clusters.list()
        except AuthenticationError as error:
            return type(error).__name__


def refused(call, argument):
    try:
        call(argument)
    except BadRequestError as error:
        return [type(error).__name__, error.details["reason"]]


with NovitaClient(api_key="sim-key", base_url=url) as novita:
    too_many = CreateInstanceRequest(
        product_id="H200-141GB.24c240g", gpu_num=8, rootfs_size=60, image_url="ubuntu", kind="gpu"
    )
    novita.gpu.instances.create(too_many)
    told = {
        "badKey": bad_key(),
        "missing": refused(novita.gpu.instances.get, "0123456789abcdef"),
        "noStock": refused(novita.gpu.instances.create, too_many),
    }
print(json.dumps(told))
