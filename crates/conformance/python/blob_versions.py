"""Versions of blobs, and restoring containers, as azure-storage-blob, unmodified, sees them. The account keeps
versions, and deleted containers for a week."""

import unittest

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobClient, RetentionPolicy

from blob_case import ENDPOINT, KEY, Blobs, service


class Versions(Blobs):
    def at(self, version, name="blob"):
        return BlobClient(ENDPOINT, self.container.container_name, name, version_id=version, credential=KEY, retry_total=0)

    def listed(self, *include):
        return [(b.version_id, b.is_current_version) for b in self.container.list_blobs(include=list(include))]

    def test_each_write_makes_one(self):
        blob = self.blob()
        first = blob.upload_blob(b"one")["version_id"]
        second = blob.upload_blob(b"two", overwrite=True)["version_id"]
        third = blob.set_blob_metadata({"a": "1"})["version_id"]
        snapshot = blob.create_snapshot()
        fourth = snapshot["version_id"]
        blob.stage_block("0001", b"five")
        fifth = blob.commit_block_list(["0001"])["version_id"]
        versions = [first, second, third, fourth, fifth]
        self.assertEqual(sorted(set(versions)), versions)
        self.assertEqual(self.listed("versions"), [(v, None) for v in versions[:-1]] + [(fifth, True)])
        for version, data in zip(versions, (b"one", b"two", b"two", b"two", b"five")):
            self.assertEqual(self.at(version).download_blob().readall(), data)
        read = blob.get_blob_properties()
        self.assertEqual((read.version_id, read.is_current_version), (fifth, True))
        read = self.at(third).get_blob_properties()
        self.assertEqual((read.version_id, read.is_current_version, read.metadata), (third, None, {"a": "1"}))
        blob.set_http_headers()
        self.assertEqual(len(self.listed("versions")), 5)

    def test_deletion(self):
        blob = self.blob()
        first = blob.upload_blob(b"one")["version_id"]
        second = blob.upload_blob(b"two", overwrite=True)["version_id"]
        self.fails(HttpResponseError, "OperationNotAllowedOnRootBlob", self.at(second).delete_blob)
        blob.delete_blob()
        self.fails(ResourceNotFoundError, "BlobNotFound", blob.download_blob)
        self.assertEqual(self.listed(), [])
        self.assertEqual(self.listed("versions"), [(first, None), (second, None)])
        self.assertEqual(self.at(second).download_blob().readall(), b"two")
        only = list(self.container.list_blobs(include=["deletedwithversions"]))
        self.assertEqual([(b.version_id, b.has_versions_only) for b in only], [(second, True)])
        self.at(first).delete_blob()
        self.fails(ResourceNotFoundError, "BlobNotFound", self.at(first).get_blob_properties)
        self.at(second).delete_blob()
        self.assertEqual(self.listed("versions"), [])

    def test_tags_and_tiers_of_a_version(self):
        first = self.blob().upload_blob(b"one")["version_id"]
        self.blob().upload_blob(b"two", overwrite=True)
        version = self.at(first)
        version.set_standard_blob_tier("Cool", version_id=first)
        version.set_blob_tags({"a": "1"}, version_id=first)
        self.assertEqual(version.get_blob_tags(version_id=first), {"a": "1"})
        self.assertEqual(version.get_blob_properties().blob_tier, "Cool")
        self.assertEqual(self.blob().get_blob_tags(), {})

    def test_kept_versions(self):
        keep = RetentionPolicy(enabled=True, days=3)
        service().set_service_properties(delete_retention_policy=keep)
        self.addCleanup(service().set_service_properties, delete_retention_policy=RetentionPolicy(enabled=False))
        first = self.blob().upload_blob(b"one")["version_id"]
        second = self.blob().upload_blob(b"two", overwrite=True)["version_id"]
        self.at(first).delete_blob()
        self.assertEqual(self.listed("versions"), [(second, True)])
        found = list(self.container.list_blobs(include=["versions", "deleted"]))
        self.assertEqual([(b.deleted, b.remaining_retention_days) for b in found], [(True, 3), (None, None)])
        self.blob().undelete_blob()
        self.assertEqual(self.at(first).download_blob().readall(), b"one")


class Restored(Blobs):
    def test_restore(self):
        name = self.container.container_name
        self.blob().upload_blob(b"x")
        self.container.set_container_metadata({"a": "1"})
        self.container.delete_container()
        self.assertEqual(list(service().list_containers(name_starts_with=name)), [])
        found = list(service().list_containers(name_starts_with=name, include_deleted=True, include_metadata=True))
        self.assertEqual([(c.name, c.deleted, c.metadata) for c in found], [(name, True, {"a": "1"})])
        restored = service().undelete_container(name, found[0].version)
        self.assertEqual(restored.get_blob_client("blob").download_blob().readall(), b"x")
        self.container.delete_container()
        self.container.create_container()
        found = list(service().list_containers(name_starts_with=name, include_deleted=True))
        self.assertEqual([c.deleted for c in found], [None, True])
        self.fails(ResourceExistsError, "ContainerAlreadyExists", service().undelete_container, name, found[1].version)
        self.fails(ResourceNotFoundError, "ContainerNotFound", service().undelete_container, name, "0" * 16)


if __name__ == "__main__":
    unittest.main(verbosity=2)
