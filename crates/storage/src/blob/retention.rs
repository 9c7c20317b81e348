//! What becomes of a blob's state when it is overwritten: gone, a version, or a deleted snapshot that is kept.

use welkin_base::Timestamp;

use crate::Account;
use crate::blob::Revision;
use crate::blob::change::Next;

/// The current state is about to be replaced.
pub(crate) fn overwritten(next: &mut Next, _account: &Account, _now: Timestamp) {
    next.remove(Revision::Current);
}
