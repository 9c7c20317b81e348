"""Drives the management API with azure-servicemanagement-legacy, unmodified, from an empty subscription to a
deployment and back to nothing. Everything it needs comes in the environment; the first thing that is not as it
should be ends it."""

import datetime
import hashlib
import os
import sys
import time
from base64 import b64decode, b64encode

import requests
from azure.common import AzureConflictHttpError, AzureHttpError, AzureMissingResourceHttpError
from azure.servicemanagement import ServiceManagementService

HOST = os.environ["WELKIN_MANAGEMENT"]
AUTHORITY = os.environ["WELKIN_AUTHORITY"]
SUBSCRIPTION = os.environ["WELKIN_SUBSCRIPTION"]
CERTIFICATE = os.environ["WELKIN_CERTIFICATE"]
STRANGER = os.environ["WELKIN_STRANGER"]
LOCATION = os.environ["WELKIN_LOCATION"]
PACKAGE = os.environ["WELKIN_PACKAGE"]
CONFIGURATION = os.environ["WELKIN_CONFIGURATION"]
SECOND = os.environ["WELKIN_SECOND"]
SECOND_KEY = os.environ["WELKIN_SECOND_KEY"]
WRONG_CONFIGURATION = os.environ["WELKIN_WRONG_CONFIGURATION"]

LIMIT_SECONDS = 60

# Methods of the client that are not called, and why.
NOT_THERE = {
    "virtual machines of customers' own, which there are not": """
        get_role create_virtual_machine_deployment add_role update_role delete_role capture_role start_role start_roles
        restart_role shutdown_role shutdown_roles list_resource_extensions list_resource_extension_versions
        replicate_vm_image unreplicate_vm_image share_vm_image capture_vm_image create_vm_image delete_vm_image
        list_vm_images update_vm_image list_os_images get_os_image get_os_image_details add_os_image update_os_image
        update_os_image_from_image_reference delete_os_image get_data_disk add_data_disk update_data_disk
        delete_data_disk list_disks get_disk add_disk update_disk delete_disk""",
    "virtual networks and reserved addresses, which there are not": """
        add_dns_server update_dns_server delete_dns_server list_virtual_network_sites create_reserved_ip_address
        delete_reserved_ip_address associate_reserved_ip_address disassociate_reserved_ip_address
        get_reserved_ip_address list_reserved_ip_addresses""",
    "how the client is set up, not what it asks for": """
        set_proxy with_filter perform_get perform_post perform_put perform_delete should_use_requests
        wait_for_operation_status_progress_default_callback wait_for_operation_status_success_default_callback
        wait_for_operation_status_failure_default_callback""",
}
CALLED = set()


class Noted(ServiceManagementService):
    """The client, which notes what is called. It changes nothing else."""

    def __getattribute__(self, name):
        value = super().__getattribute__(name)
        if callable(value) and not name.startswith("_"):
            CALLED.add(name)
        return value


def client(certificate):
    session = requests.Session()
    session.trust_env = False
    session.verify = AUTHORITY
    session.cert = certificate
    return Noted(SUBSCRIPTION, request_session=session, host=HOST)


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def raises(kind, call, *arguments, contains="", **named):
    try:
        call(*arguments, **named)
    except kind as error:
        check(contains in str(error), f"{contains!r} is not in {error}")
        return error
    raise AssertionError(f"{call.__name__}{arguments} did not raise {kind.__name__}")


def succeeded(sms, accepted):
    sms.wait_for_operation_status(accepted.request_id, timeout=LIMIT_SECONDS, sleep_interval=0.1)


def failed(sms, accepted):
    end = time.time() + LIMIT_SECONDS
    while time.time() < end:
        operation = sms.get_operation_status(accepted.request_id)
        if operation.status != "InProgress":
            check(operation.status == "Failed", f"the operation {operation.status}")
            return operation.error
        time.sleep(0.1)
    raise AssertionError("the operation did not end")


def becomes(look, wanted):
    end = time.time() + LIMIT_SECONDS
    while time.time() < end:
        seen = look()
        if seen == wanted:
            return
        time.sleep(0.1)
    raise AssertionError(f"{seen} instead of {wanted}")


def strangers():
    error = raises(AzureHttpError, client(STRANGER).list_locations, contains="ForbiddenError")
    check(error.status_code == 403, error.status_code)
    error = raises(AzureHttpError, client(None).list_hosted_services, contains="ForbiddenError")
    check(error.status_code == 403, error.status_code)


def what_there_is(sms):
    locations = {location.name: location for location in sms.list_locations()}
    check(set(locations) == {LOCATION}, locations)
    check("Compute" in locations[LOCATION].available_services, "Compute is not available")
    sizes = {size.name: size for size in sms.list_role_sizes()}
    check(sizes["Small"].cores == 1 and sizes["Small"].memory_in_mb == 1792, vars(sizes["Small"]))
    systems = list(sms.list_operating_systems())
    check(len(systems) >= 1 and systems[0].is_default, "operating systems")
    families = list(sms.list_operating_system_families())
    check(families[0].operating_systems[0].version == systems[0].version, "families")
    subscription = sms.get_subscription()
    check(subscription.subscription_id == SUBSCRIPTION, subscription.subscription_id)
    check(subscription.current_hosted_services == 0, subscription.current_hosted_services)
    check(SUBSCRIPTION in [one.subscription_id for one in sms.list_subscriptions()], "not listed")


def management_certificates(sms):
    """Another certificate comes, is good for calls, and goes."""
    with open(SECOND, encoding="ascii") as file:
        pem = file.read().split("-----BEGIN CERTIFICATE-----")[1].split("-----END")[0]
    data = "".join(pem.split())
    thumbprint = hashlib.sha1(b64decode(data)).hexdigest().upper()
    second = client(SECOND)
    raises(AzureHttpError, second.list_locations, contains="ForbiddenError")
    key = SECOND_KEY
    raises(AzureHttpError, sms.add_management_certificate, key, "00" * 20, data, contains="BadRequest")
    sms.add_management_certificate(key, thumbprint, data)
    raises(AzureConflictHttpError, sms.add_management_certificate, key, thumbprint, data)
    listed = {one.subscription_certificate_thumbprint: one for one in second.list_management_certificates()}
    check(len(listed) == 2 and listed[thumbprint].subscription_certificate_data == data, listed.keys())
    one = sms.get_management_certificate(thumbprint)
    check(one.subscription_certificate_public_key == key, one.subscription_certificate_public_key)
    sms.delete_management_certificate(thumbprint)
    raises(AzureHttpError, second.list_locations, contains="ForbiddenError")
    raises(AzureMissingResourceHttpError, sms.get_management_certificate, thumbprint)


def affinity_groups(sms):
    sms.create_affinity_group("near", "Near", LOCATION, "described")
    raises(AzureConflictHttpError, sms.create_affinity_group, "near", "Near", LOCATION)
    check([one.name for one in sms.list_affinity_groups()] == ["near"], "list")
    sms.update_affinity_group("near", "Nearer", "again")
    group = sms.get_affinity_group_properties("near")
    check((group.label, group.description, group.location) == ("Nearer", "again", LOCATION), vars(group))
    sms.create_hosted_service("inside", "inside", affinity_group="near")
    group = sms.get_affinity_group_properties("near")
    check([one.service_name for one in group.hosted_services] == ["inside"], "members")
    properties = sms.get_hosted_service_properties("inside").hosted_service_properties
    check((properties.affinity_group, properties.location) == ("near", ""), vars(properties))
    raises(AzureConflictHttpError, sms.delete_affinity_group, "near", contains="inside")
    sms.delete_hosted_service("inside")
    sms.delete_affinity_group("near")
    raises(AzureMissingResourceHttpError, sms.get_affinity_group_properties, "near")
    raises(AzureHttpError, sms.delete_affinity_group, "not a name", contains="BadRequest")


def history(sms):
    """Everything that this script has done."""
    day = datetime.timedelta(days=1)
    now = datetime.datetime.now(datetime.timezone.utc)
    start, end = ((now + offset).strftime("%Y-%m-%dT%H:%M:%SZ") for offset in (-day, day))
    told, token = [], None
    while token != "":
        page = sms.list_subscription_operations(start, end, continuation_token=token)
        told += list(page.subscription_operations)
        token = page.continuation_token
    names = [one.operation_name for one in told]
    for name in ("AddManagementCertificate", "CreateAffinityGroup", "CreateStorageAccount", "DeleteDeployment"):
        check(name in names, f"{name} is not in {names}")
    created = told[names.index("CreateDeployment")]
    check(created.operation_parameters["deploymentSlot"] == "production", created.operation_parameters)
    check(created.operation_status.status == "Failed", "the first of them was wrong")
    check(len(created.operation_caller.subscription_certificate_thumbprint) == 40, "caller")
    failed = sms.list_subscription_operations(start, end, operation_result_filter="Failed")
    check(1 <= len(list(failed.subscription_operations)) < len(told), "filter")


def storage_accounts(sms):
    """An account with both of its keys; gives the URL of the package in it."""
    check(sms.check_storage_account_name_availability("welkinpy").result, "the name is free")
    raises(AzureHttpError, sms.check_storage_account_name_availability, "No-Name", contains="BadRequest")
    succeeded(sms, sms.create_storage_account("welkinpy", "made by python", "python", location=LOCATION))
    check(not sms.check_storage_account_name_availability("welkinpy").result, "the name is taken")
    raises(AzureConflictHttpError, sms.create_storage_account, "welkinpy", "", "again", location=LOCATION)
    account = sms.get_storage_account_properties("welkinpy")
    check(account.storage_service_properties.label == "python", account.storage_service_properties.label)
    check(len(account.storage_service_properties.endpoints) == 3, "endpoints")
    check([one.service_name for one in sms.list_storage_accounts()] == ["welkinpy"], "list")
    sms.update_storage_account("welkinpy", "described", "again")
    account = sms.get_storage_account_properties("welkinpy")
    check(account.storage_service_properties.label == "again", account.storage_service_properties.label)
    endpoint = account.storage_service_properties.endpoints[0]
    keys = sms.get_storage_account_keys("welkinpy").storage_service_keys
    keys_are_cut_off(sms, endpoint, keys)
    return upload(endpoint, sms.get_storage_account_keys("welkinpy").storage_service_keys)


def works(endpoint, account, key):
    """Whether the storage service answers to the key."""
    from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
    from azure.storage.blob import BlobServiceClient

    blobs = BlobServiceClient(endpoint, credential={"account_name": account, "account_key": key}, retry_total=0)
    try:
        blobs.get_service_properties()
        return True
    except (ClientAuthenticationError, HttpResponseError) as error:
        check(error.status_code in (403, 404), error)
        return False


def keys_are_cut_off(sms, endpoint, keys):
    """Both keys work; one that is made anew is cut off at once, and the other never notices."""
    now = {"Primary": keys.primary, "Secondary": keys.secondary}
    for kind, other in (("Primary", "Secondary"), ("Secondary", "Primary")) * 3:
        check(works(endpoint, "welkinpy", now[kind]) and works(endpoint, "welkinpy", now[other]), "both keys work")
        answer = sms.regenerate_storage_account_keys("welkinpy", kind).storage_service_keys
        after = {"Primary": answer.primary, "Secondary": answer.secondary}
        check(after[other] == now[other] and after[kind] != now[kind], "one key is new")
        check(not works(endpoint, "welkinpy", now[kind]), f"the old {kind} key still works")
        check(works(endpoint, "welkinpy", after[other]), f"the {other} key was cut off too")
        now = after

    # An account answers as soon as it is made, and no more when it is deleted.
    succeeded(sms, sms.create_storage_account("welkinsoon", "", "soon", location=LOCATION))
    made = time.monotonic()
    soon = sms.get_storage_account_keys("welkinsoon").storage_service_keys
    address = endpoint.replace("welkinpy", "welkinsoon")
    check(works(address, "welkinsoon", soon.primary) and works(address, "welkinsoon", soon.secondary), "it answers")
    check(time.monotonic() - made < 1, "within a second")
    sms.delete_storage_account("welkinsoon")
    check(not works(address, "welkinsoon", soon.primary), "it is gone")


def upload(endpoint, keys):
    """Puts the package where an official client puts it, and checks that a key that was replaced is cut off."""
    if "WELKIN_PACKAGE_URL" in os.environ:
        return os.environ["WELKIN_PACKAGE_URL"]
    from azure.storage.blob import BlobServiceClient

    with open(PACKAGE, "rb") as package:
        for key in (keys.secondary, keys.primary):
            blobs = BlobServiceClient(endpoint, credential={"account_name": "welkinpy", "account_key": key})
            container = blobs.get_container_client("packages")
            if not container.exists():
                container.create_container()
            package.seek(0)
            blob = container.upload_blob("service.cspkg", package, overwrite=True)
    return blob.url


def hosted_service(sms):
    check(sms.check_hosted_service_name_availability("welkin-py").result, "the name is free")
    raises(AzureMissingResourceHttpError, sms.get_hosted_service_properties, "welkin-py")
    sms.create_hosted_service(
        "welkin-py", "label", "described", location=LOCATION, extended_properties={"owner": "python"}
    )
    raises(AzureConflictHttpError, sms.create_hosted_service, "welkin-py", "label", location=LOCATION)
    raises(AzureHttpError, sms.create_hosted_service, "elsewhere", "label", location="Mars", contains="only location")
    check(not sms.check_hosted_service_name_availability("welkin-py").result, "the name is taken")
    check([one.service_name for one in sms.list_hosted_services()] == ["welkin-py"], "list")
    properties = sms.get_hosted_service_properties("welkin-py").hosted_service_properties
    check((properties.label, properties.description, properties.location) == ("label", "described", LOCATION), "text")
    check(properties.extended_properties == {"owner": "python"}, properties.extended_properties)
    sms.update_hosted_service("welkin-py", label="renamed")
    service = sms.get_hosted_service_properties("welkin-py", embed_detail=True)
    check(service.hosted_service_properties.label == "renamed", "label")
    check(len(service.deployments) == 0, "no deployment yet")


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def base64(text):
    return b64encode(text.encode()).decode()


def create(sms, name, url, configuration, slot="production"):
    # The client does not escape what it writes into XML (SMAPI, "Client A").
    url = url.replace("&", "&amp;")
    return sms.create_deployment("welkin-py", slot, name, url, name, base64(configuration), start_deployment=True)


def deployment(sms, url):
    raises(AzureMissingResourceHttpError, sms.get_deployment_by_slot, "welkin-py", "production")
    error = failed(sms, create(sms, "wrong", url, read(WRONG_CONFIGURATION)))
    check(error.code == "BadRequest" and "Unknown" in error.message, error.message)
    raises(AzureMissingResourceHttpError, sms.get_deployment_by_slot, "welkin-py", "production")
    missing = failed(sms, create(sms, "missing", url + "-missing", read(CONFIGURATION)))
    check("cannot be fetched" in missing.message, missing.message)
    raises(AzureHttpError, create, sms, "inside", f"https://{HOST}/", read(CONFIGURATION), contains="BadRequest")

    accepted = create(sms, "v1", url, read(CONFIGURATION))
    check(len(accepted.request_id) == 32, accepted.request_id)
    succeeded(sms, accepted)
    raises(AzureConflictHttpError, create, sms, "v2", url, read(CONFIGURATION))
    raises(AzureConflictHttpError, create, sms, "v1", url, read(CONFIGURATION), "staging")
    found = sms.get_deployment_by_slot("welkin-py", "Production")
    check((found.name, found.deployment_slot, found.label) == ("v1", "Production", "v1"), vars(found))
    check(found.configuration == read(CONFIGURATION), found.configuration)
    check(sms.get_deployment_by_name("welkin-py", "v1").private_id == found.private_id, "private id")
    raises(AzureMissingResourceHttpError, sms.get_deployment_by_name, "welkin-py", "v2")
    instances(sms)

    raises(AzureConflictHttpError, sms.delete_hosted_service, "welkin-py", contains="delete that first")
    succeeded(sms, sms.delete_deployment("welkin-py", "v1"))
    raises(AzureMissingResourceHttpError, sms.get_deployment_by_slot, "welkin-py", "production")


def instances(sms):
    """What a deployment's instances do. A fabric controller whose nodes run nothing has none that get ready."""
    if os.environ.get("WELKIN_INSTANCES") != "run":
        return
    becomes(lambda: sms.get_deployment_by_name("welkin-py", "v1").status, "Running")
    found = sms.get_deployment_by_name("welkin-py", "v1")
    names = [one.instance_name for one in found.role_instance_list]
    check(len(names) >= 1 and names[0].endswith("_IN_0"), names)
    check({one.instance_status for one in found.role_instance_list} == {"ReadyRole"}, "ready")
    check({one.power_state for one in found.role_instance_list} == {"Started"}, "power")
    check(int(found.upgrade_domain_count) >= 1 and len(found.role_list) >= 1, "roles")
    check(found.input_endpoint_list[0].vip == found.virtual_ips[0].address, "VIP")
    succeeded(sms, sms.update_deployment_status("welkin-py", "v1", "Suspended"))
    becomes(lambda: sms.get_deployment_by_name("welkin-py", "v1").status, "Suspended")
    succeeded(sms, sms.update_deployment_status("welkin-py", "v1", "Running"))
    becomes(lambda: sms.get_deployment_by_name("welkin-py", "v1").status, "Running")
    succeeded(sms, sms.reboot_role_instance("welkin-py", "v1", names[0]))
    succeeded(sms, sms.reimage_role_instance("welkin-py", "v1", names[0]))
    succeeded(sms, sms.rebuild_role_instance("welkin-py", "v1", names[0]))
    updates(sms, found.configuration)
    succeeded(sms, sms.delete_role_instances("welkin-py", "v1", [names[0]]))
    left = [one.instance_name for one in sms.get_deployment_by_name("welkin-py", "v1").role_instance_list]
    check(left == names[1:], left)
    swapped(sms)


def updates(sms, configuration):
    """Another configuration at once, one domain after the other, another package, and back."""
    url = sms.package_url
    changed = configuration + "<!-- changed -->"

    def is_now(wanted, label):
        found = sms.get_deployment_by_name("welkin-py", "v1")
        return (found.configuration, found.label) == (wanted, label) and found.upgrade_status is None

    succeeded(sms, sms.change_deployment_configuration("welkin-py", "v1", base64(changed)))
    becomes(lambda: is_now(changed, "v1"), True)
    succeeded(sms, sms.change_deployment_configuration("welkin-py", "v1", base64(configuration), mode="Manual"))
    status = sms.get_deployment_by_name("welkin-py", "v1").upgrade_status
    check((status.upgrade_type, status.current_upgrade_domain_state) == ("Manual", "Before"), vars(status))
    raises(AzureHttpError, sms.walk_upgrade_domain, "welkin-py", "v1", 1, contains="BadRequest")
    for domain in range(2):
        succeeded(sms, sms.walk_upgrade_domain("welkin-py", "v1", domain))
    becomes(lambda: is_now(configuration, "v1"), True)
    upgrade = ("welkin-py", "v1", "Auto", url, base64(configuration), "upgraded", False)
    succeeded(sms, sms.upgrade_deployment(*upgrade))
    becomes(lambda: is_now(configuration, "upgraded"), True)
    raises(AzureConflictHttpError, sms.rollback_update_or_upgrade, "welkin-py", "v1", "Auto", True)
    succeeded(sms, sms.upgrade_deployment("welkin-py", "v1", "Manual", url, base64(changed), "again", False))
    check(sms.get_deployment_by_name("welkin-py", "v1").rollback_allowed, "may roll back")
    succeeded(sms, sms.rollback_update_or_upgrade("welkin-py", "v1", "Auto", True))
    becomes(lambda: is_now(configuration, "upgraded"), True)


def swapped(sms):
    succeeded(sms, create(sms, "v2", sms.package_url, read(CONFIGURATION), "staging"))
    for name in ("v1", "v2"):
        becomes(lambda: sms.get_deployment_by_name("welkin-py", name).upgrade_status, None)
    raises(AzureConflictHttpError, sms.swap_deployment, "welkin-py", "v2", "v1")
    succeeded(sms, sms.swap_deployment("welkin-py", "v1", "v2"))
    check(sms.get_deployment_by_slot("welkin-py", "production").name == "v2", "swapped")
    succeeded(sms, sms.swap_deployment("welkin-py", "v2", "v1"))
    succeeded(sms, sms.delete_deployment("welkin-py", "v2"))


def all_is_called():
    has = {name for name in dir(ServiceManagementService) if not name.startswith("_")}
    excused = {name for names in NOT_THERE.values() for name in names.split()}
    missing = {name for name in has - CALLED - excused if callable(getattr(ServiceManagementService, name))}
    check(not missing, f"methods of the client that are not called: {sorted(missing)}")


def pfx(name, password):
    """A certificate with its key in PKCS#12, and its thumbprint."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import pkcs12

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    encryption = serialization.BestAvailableEncryption(password.encode())
    file = pkcs12.serialize_key_and_certificates(name.encode(), key, certificate, None, encryption)
    return b64encode(file).decode(), certificate.fingerprint(hashes.SHA1()).hex().upper()


def service_certificates(sms):
    data, thumbprint = pfx("welkin-py", "secret")
    check(len(list(sms.list_service_certificates("welkin-py"))) == 0, "none yet")
    try:
        wrong = failed(sms, sms.add_service_certificate("welkin-py", data, "pfx", "wrong"))
        check("password" in wrong.message, wrong.message)
    except AzureHttpError as error:
        check(error.status_code == 400 and "password" in str(error), error)
    succeeded(sms, sms.add_service_certificate("welkin-py", data, "pfx", "secret"))
    listed = list(sms.list_service_certificates("welkin-py"))
    check([one.thumbprint for one in listed] == [thumbprint], [vars(one) for one in listed])
    found = sms.get_service_certificate("welkin-py", "sha1", thumbprint)
    check(hashlib.sha1(b64decode(found.data)).hexdigest().upper() == thumbprint, "the certificate, without its key")
    succeeded(sms, sms.delete_service_certificate("welkin-py", "sha1", thumbprint))
    raises(AzureMissingResourceHttpError, sms.get_service_certificate, "welkin-py", "sha1", thumbprint)


def nothing_left(sms):
    # With its deployment.
    succeeded(sms, sms.delete_hosted_service("welkin-py", complete=True))
    raises(AzureMissingResourceHttpError, sms.delete_hosted_service, "welkin-py")
    sms.delete_storage_account("welkinpy")
    raises(AzureMissingResourceHttpError, sms.get_storage_account_keys, "welkinpy")
    check(len(list(sms.list_hosted_services())) == 0, "services")
    check(len(list(sms.list_storage_accounts())) == 0, "accounts")


def main():
    sms = client(CERTIFICATE)
    strangers()
    what_there_is(sms)
    management_certificates(sms)
    affinity_groups(sms)
    # The client does not escape what it writes into XML (SMAPI, "Client A").
    url = storage_accounts(sms)
    sms.package_url = url.replace("&", "&amp;")
    hosted_service(sms)
    deployment(sms, url)
    service_certificates(sms)
    history(sms)
    succeeded(sms, create(sms, "last", url, read(CONFIGURATION)))
    nothing_left(sms)
    if os.environ.get("WELKIN_INSTANCES") == "run":
        all_is_called()
    print("the management API is as azure-servicemanagement-legacy has it")


if __name__ == "__main__":
    sys.exit(main())
