"""Drives the management API with azure-servicemanagement-legacy, unmodified, from an empty subscription to a
deployment and back to nothing. Everything it needs comes in the environment; the first thing that is not as it
should be ends it."""

import os
import sys
import time

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
WRONG_CONFIGURATION = os.environ["WELKIN_WRONG_CONFIGURATION"]

LIMIT_SECONDS = 60


def client(certificate):
    session = requests.Session()
    session.trust_env = False
    session.verify = AUTHORITY
    session.cert = certificate
    return ServiceManagementService(SUBSCRIPTION, request_session=session, host=HOST)


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
    check(len(list(sms.list_operating_systems())) >= 0, "operating systems")
    subscription = sms.get_subscription()
    check(subscription.subscription_id == SUBSCRIPTION, subscription.subscription_id)
    check(subscription.current_hosted_services == 0, subscription.current_hosted_services)
    check(SUBSCRIPTION in [one.subscription_id for one in sms.list_subscriptions()], "not listed")


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
    before = sms.get_storage_account_keys("welkinpy").storage_service_keys
    after = sms.regenerate_storage_account_keys("welkinpy", "Secondary").storage_service_keys
    check(before.primary == after.primary and before.secondary != after.secondary, "keys")
    return upload(account.storage_service_properties.endpoints[0], after)


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
    from base64 import b64encode

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


def not_built(sms):
    error = raises(AzureHttpError, sms.list_affinity_groups, contains="NotImplemented")
    check(error.status_code == 501, error.status_code)


def nothing_left(sms):
    sms.delete_hosted_service("welkin-py")
    raises(AzureMissingResourceHttpError, sms.delete_hosted_service, "welkin-py")
    sms.delete_storage_account("welkinpy")
    raises(AzureMissingResourceHttpError, sms.get_storage_account_keys, "welkinpy")
    check(len(list(sms.list_hosted_services())) == 0, "services")
    check(len(list(sms.list_storage_accounts())) == 0, "accounts")


def main():
    sms = client(CERTIFICATE)
    strangers()
    what_there_is(sms)
    url = storage_accounts(sms)
    hosted_service(sms)
    deployment(sms, url)
    not_built(sms)
    nothing_left(sms)
    print("the management API is as azure-servicemanagement-legacy has it")


if __name__ == "__main__":
    sys.exit(main())
