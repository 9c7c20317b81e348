//! The crate `object_store` with its own integration suite, unmodified, and what its tests of Azure ask for.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use object_store::azure::{AzureConfigKey, MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::integration as suite;
use object_store::path::Path;
use object_store::signer::Signer as _;
use object_store::{
    Attribute, Attributes, Error, GetOptions, ObjectStore as _, ObjectStoreExt as _, PutOptions, TagSet,
};
use welkin_sdk::StorageAccount;
use welkin_storage_service::{DEV_ACCOUNT, DEV_KEY};

use crate::storage::StorageService;

const CONTAINER: &str = "objects";

fn builder(service: &StorageService) -> MicrosoftAzureBuilder {
    let [blob, ..] = service.endpoints();
    MicrosoftAzureBuilder::new()
        .with_account(DEV_ACCOUNT)
        .with_access_key(DEV_KEY)
        .with_endpoint(blob)
        .with_allow_http(true)
        .with_container_name(CONTAINER)
}

/// Runs a test with a service that has a container.
fn with_store<F: Future<Output = ()>>(name: &str, test: impl FnOnce(MicrosoftAzureBuilder) -> F) {
    // The HTTP client makes a TLS configuration, which plain HTTP then does not use.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let service = StorageService::start();
    // The crate makes no containers.
    let account = StorageAccount::from_connection_string(&service.connection_string()).unwrap();
    account.container(CONTAINER).create_if_missing().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(test(builder(&service)));
    service.saw(name, |agent| agent.starts_with("object_store/"));
}

#[test]
fn its_own_suite() {
    // Each of its tests begins by deleting what is there, in one batch.
    if !crate::built("Container Batch") {
        return;
    }
    with_store("object_store", |builder| async move {
        let marked = suite::MarkerHttpConnector::default();
        let store = builder.with_http_connector(marked).build().unwrap();
        suite::list_with_offset_exclusivity(&store).await;
        suite::get_opts(&store).await;
        suite::list_uses_directories_correctly(&store).await;
        suite::list_with_delimiter(&store).await;
        suite::stream_get(&store).await;
        suite::put_opts(&store, true).await;
        suite::put_get_attributes(&store).await;
        suite::multipart(&store, &store).await;
        suite::multipart_put_part_out_of_order(&store, &store).await;
        suite::multipart_race_condition(&store, false).await;
        suite::multipart_out_of_order(&store).await;
        suite::list_paginated(&store, &store).await;
        suite::response_extensions(&store, true).await;
        suite::get_nonexistent_object(&store, None).await.unwrap_err();
        if crate::built("Copy Blob") {
            suite::put_get_delete_list(&store).await;
            suite::rename_and_copy(&store).await;
            suite::copy_if_not_exists(&store).await;
            suite::copy_rename_nonexistent_object(&store).await;
        }
    });
}

/// Its tests of Azure lean on what the crate does not export; these ask for the same by the public part of it.
#[test]
fn its_tests_of_azure() {
    with_store("object_store_azure", |builder| async move {
        let store = builder.clone().build().unwrap();
        signing(&store).await;
        tags(&store).await;
        attributes(&store).await;
        shared_access_signature(builder, &store).await;
        batch_delete(&store).await;
    });
}

async fn signing(store: &MicrosoftAzure) {
    // It signs a name as the URL spells it, which the protocol does not: only plain names work.
    let paths = [Path::from("plain.txt"), Path::from("a/b.txt")];
    for path in &paths {
        store.put(path, Bytes::from("hello world").into()).await.unwrap();
    }
    let urls = store.signed_urls(Method::GET, &paths, Duration::from_secs(60)).await.unwrap();
    assert_eq!(urls.len(), paths.len());
    for url in urls {
        let url = url.to_string();
        let body =
            tokio::task::spawn_blocking(move || ureq::get(&url).call().unwrap().body_mut().read_to_string())
                .await;
        assert_eq!(body.unwrap().unwrap(), "hello world");
    }
}

async fn tags(store: &MicrosoftAzure) {
    let mut tags = TagSet::default();
    tags.push("foo.com=bar/s", "bananas/foo.com-_");
    tags.push("namespace/key.foo", "value with a space");
    let path = Path::from("tagged");
    let options = PutOptions { tags: tags.clone(), ..PutOptions::default() };
    store.put_opts(&path, Bytes::from("test").into(), options).await.unwrap();
    let mut upload = store
        .put_multipart_opts(&Path::from("tagged in blocks"), object_store::PutMultipartOptions::from(tags))
        .await
        .unwrap();
    upload.put_part(Bytes::from("foo").into()).await.unwrap();
    upload.complete().await.unwrap();
    // The crate cannot read tags, but a condition on them shows that they are there: see `blob.py`.
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "test");
}

async fn attributes(store: &MicrosoftAzure) {
    let wanted = Attributes::from_iter([
        (Attribute::CacheControl, "max-age=604800"),
        (Attribute::ContentDisposition, r#"attachment; filename="test.html""#),
        (Attribute::ContentEncoding, "gzip"),
        (Attribute::ContentLanguage, "en-US"),
        (Attribute::ContentType, "text/html; charset=utf-8"),
        (Attribute::Metadata("test_key".into()), "test_value"),
    ]);
    let path = Path::from("attributes");
    let options = PutOptions { attributes: wanted.clone(), ..PutOptions::default() };
    store.put_opts(&path, Bytes::from("x").into(), options).await.unwrap();
    let head = store.get_opts(&path, GetOptions { head: true, ..GetOptions::default() }).await.unwrap();
    assert_eq!(head.attributes, wanted);
}

/// A signature for reading may read, and may not write.
async fn shared_access_signature(builder: MicrosoftAzureBuilder, store: &MicrosoftAzure) {
    let path = Path::from("signed");
    store.put(&path, Bytes::from("by signature").into()).await.unwrap();
    let url = store.signed_url(Method::GET, &path, Duration::from_secs(60)).await.unwrap();
    let token = url.query().unwrap();
    let endpoint = builder.get_config_value(&AzureConfigKey::Endpoint).unwrap();
    let guest = MicrosoftAzureBuilder::new()
        .with_account(DEV_ACCOUNT)
        .with_endpoint(endpoint)
        .with_allow_http(true)
        .with_container_name(CONTAINER)
        .with_config(AzureConfigKey::SasKey, token)
        .build()
        .unwrap();
    assert_eq!(guest.get(&path).await.unwrap().bytes().await.unwrap(), "by signature");
    let refused = guest.put(&path, Bytes::from("no").into()).await.unwrap_err();
    assert!(matches!(refused, Error::PermissionDenied { .. }), "{refused}");
}

/// More deletes than go into one batch of the protocol (256).
async fn batch_delete(store: &MicrosoftAzure) {
    use futures_util::{StreamExt as _, TryStreamExt as _};
    if !crate::built("Container Batch") {
        return;
    }
    let paths: Vec<Path> = (0..300).map(|n| Path::from(format!("many/{n:03}"))).collect();
    for path in &paths {
        store.put(path, Bytes::new().into()).await.unwrap();
    }
    let all = futures_util::stream::iter(paths.clone()).map(Ok).boxed();
    let deleted: Vec<Path> = store.delete_stream(all).try_collect().await.unwrap();
    assert_eq!(deleted.len(), paths.len());
    let left: Vec<_> = store.list(Some(&Path::from("many"))).try_collect().await.unwrap();
    assert!(left.is_empty());
}
