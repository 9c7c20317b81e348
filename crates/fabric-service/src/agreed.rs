//! What all controllers that ever lead have in common: the keys to which packages and certificates are sealed. The first
//! writes their public halves, and one that has others does not lead.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use welkin_fabric::row::{decode, encode};
use welkin_store::{Commit, CommitError, Space, Store, StoreError};

use crate::error::RunError;

const AGREED: Space = Space::new(20, "agreed");
const PARTITION: &[u8] = b"keys";
const KEY: &[u8] = b"row";

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Agreed {
    package_recipient: String,
    certificate_recipient: String,
}

/// Whether these are the keys of this cloud; the first are.
pub(crate) async fn check(store: &Store, package: &str, certificate: &str) -> Result<(), RunError> {
    let ours =
        Agreed { package_recipient: package.to_owned(), certificate_recipient: certificate.to_owned() };
    if let Some(row) = store.get(AGREED, PARTITION, KEY).await? {
        let theirs: Agreed = decode(&row.value)?;
        return if theirs == ours { Ok(()) } else { Err(RunError::OtherKeys) };
    }
    let commit = Commit::new(AGREED, PARTITION).check_absent(KEY).put(KEY, Bytes::from(encode(&ours)?));
    store.commit(commit).await.map(drop).map_err(|error| match error {
        CommitError::Store(error) => RunError::Store(error),
        CommitError::Conflict { .. } => RunError::Store(StoreError::Deposed),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn other_keys_do_not_lead() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_local(folder.path()).await.unwrap();
        check(&store, "age1", "hpke1").await.unwrap();
        check(&store, "age1", "hpke1").await.unwrap();
        for (package, certificate) in [("age2", "hpke1"), ("age1", "hpke2")] {
            let error = check(&store, package, certificate).await.unwrap_err();
            assert!(error.to_string().contains("package.key"), "{error}");
        }
    }
}
