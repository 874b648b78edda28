"""Templates, registry credentials and network volumes over HTTP (novita-wire.md 3.11-3.13)."""

from novita_simulator import library, wire
from novita_simulator.account import Template
from novita_simulator.http.ask import Ask, Routes
from novita_simulator.http.public import BASE
from novita_simulator.paging import read_page

_TEMPLATES_PER_PAGE = 20


def _templates(ask: Ask) -> object:
    """Real clients send one channel, several joined by commas, or none at all (3.11); none means every channel."""
    asked = ask.query.text("channel", "")
    channels = set(asked.split(",")) if asked else {"official", "community", "private"}
    name = ask.query.text("name", "").lower()
    found = (t for t in ask.world.account.templates.values() if t.channel in channels and name in t.name.lower())
    request = read_page(ask.query, ask.world.settings.switches, default_size=_TEMPLATES_PER_PAGE)
    page = request.cut(found)
    return {
        "template": [wire.template(template) for template in page.items],
        "pageSize": page.size,
        "pageNum": page.number,
        "total": page.total,
    }


def _template(ask: Ask) -> object:
    return {"template": wire.template(library.template(ask.world, ask.query.text("templateId", shortest=1)))}


def _create_template(ask: Ask) -> object:
    return _named(library.create_template(ask.world, ask.body.group("template"), ask.now))


def _update_template(ask: Ask) -> object:
    return _named(library.update_template(ask.world, ask.body.group("template"), ask.now))


def _delete_template(ask: Ask) -> object:
    template_id = ask.body.text("templateId", shortest=1)
    library.delete_template(ask.world, template_id)
    return {"templateId": template_id}


def _named(template: Template) -> object:
    return {"templateId": template.id}


def _auths(ask: Ask) -> object:
    return {"data": [wire.registry_auth(auth) for auth in ask.world.account.registry_auths.values()]}


def _save_auth(ask: Ask) -> object:
    library.save_registry_auth(ask.world, ask.body)
    return {}


def _delete_auth(ask: Ask) -> object:
    library.delete_registry_auth(ask.world, ask.body.text("id", shortest=1))
    return {}


def _storages(ask: Ask) -> object:
    name = ask.query.text("storageName", "").lower()
    storage_id = ask.query.text("storageId", "")
    page = read_page(ask.query, ask.world.settings.switches, number_field="pageNo").cut(
        storage
        for storage in ask.world.account.storages.values()
        if name in storage.name.lower() and storage_id in {"", storage.id}
    )
    return {"data": [wire.storage(storage, ask.world.catalogue) for storage in page.items], "total": page.total}


def _create_storage(ask: Ask) -> object:
    """The answer is a bare JSON string (3.13)."""
    return library.create_storage(ask.world, ask.body, ask.now).id


def _delete_storage(ask: Ask) -> object:
    library.delete_storage(ask.world, ask.body.text("storageId", shortest=1), ask.now)
    return {}


ROUTES: Routes = (
    ("GET", f"{BASE}/templates", _templates),
    ("GET", f"{BASE}/template", _template),
    ("POST", f"{BASE}/template/create", _create_template),
    ("POST", f"{BASE}/template/update", _update_template),
    ("POST", f"{BASE}/template/delete", _delete_template),
    ("GET", f"{BASE}/repository/auths", _auths),
    ("POST", f"{BASE}/repository/auth/save", _save_auth),
    ("POST", f"{BASE}/repository/auth/delete", _delete_auth),
    ("GET", f"{BASE}/networkstorages/list", _storages),
    ("POST", f"{BASE}/networkstorage/create", _create_storage),
    ("POST", f"{BASE}/networkstorage/delete", _delete_storage),
)
