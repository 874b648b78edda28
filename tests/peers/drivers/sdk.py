"""A day with novita-sdk: everything it sends correctly, its own models reading the answers. Prints one JSON object."""

import json
import sys
import time

from novita import BadRequestError, NovitaClient
from novita.generated.models import CreateInstanceRequest, EditInstanceRequest, SaveImageRequest

PRODUCT = "4090.16c62g"


def until(client, instance_id, status):
    """Ask again until the machine has the status; its own models check each answer."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if (machine := client.gpu.instances.get(instance_id)).status.value == status:
            return machine
    raise AssertionError(f"{instance_id} never became {status}")


def catalogue(client):
    products = client.gpu.products.list(billing_method="spot")
    chosen = next(product for product in products if product.id == PRODUCT)
    return {
        "clusters": len(client.gpu.clusters.list()),
        "products": len(products),
        "cpuProducts": len(client.gpu.products.list_cpu()),
        "usdPerHour": chosen.spot_price,
    }


def life_of_a_machine(client):
    instances = client.gpu.instances
    request = CreateInstanceRequest(
        name="sdk-1",
        product_id=PRODUCT,
        gpu_num=1,
        rootfs_size=60,
        image_url="docker.io/library/ubuntu:22.04",
        ports="8080/http",
        kind="gpu",
        billing_mode="spot",
    )
    instance_id = instances.create(request).id
    listed = [machine.name for machine in instances.list(page_size=5, page_num=0)]
    seen = [until(client, instance_id, "running").spot_status.value]
    try:
        instances.start(instance_id)
    except BadRequestError as error:
        seen.append(error.details["message"])
    instances.restart(instance_id)
    until(client, instance_id, "running")
    instances.edit(EditInstanceRequest(instance_id=instance_id, ports=[], expand_root_disk=10))
    instances.stop(instance_id)
    until(client, instance_id, "exited")
    instances.start(instance_id)
    until(client, instance_id, "running")
    job_id = instances.save_image(SaveImageRequest(instance_id=instance_id, image="registry.example.com/x:1"))
    jobs = [(job.id == job_id, job.type.value) for job in client.gpu.jobs.list()]
    instances.delete(instance_id)
    return {"listed": listed, "seen": seen, "jobs": jobs}


def belongings(client):
    templates = client.gpu.templates
    auths = client.gpu.registries
    auths.create("ghcr.io", "user", "secret")
    names = [auth.name for auth in auths.list()]
    private = next(template for template in templates.list() if template.image_auth)
    for auth in auths.list():
        if auth.name == "ghcr.io":
            auths.delete(auth.id)
    return {
        "auths": names,
        "authsLeft": len(auths.list()),
        "template": templates.get(private.id).name,
        "storages": len(client.gpu.storages.list()),
    }


with NovitaClient(api_key="sim-key", base_url=sys.argv[1]) as novita:
    print(json.dumps({"catalogue": catalogue(novita), "machine": life_of_a_machine(novita), "own": belongings(novita)}))
