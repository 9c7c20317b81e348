//! A target that must be found failing, so that a fuzzer that finds nothing is noticed.

/// Fails for six bytes, one after the other: blindly nobody finds them, and one who sees what an input covers does.
pub(crate) fn canary(data: &[u8]) {
    // Each step is a branch of its own.
    let [b'c', data @ ..] = data else { return };
    let [b'a', data @ ..] = data else { return };
    let [b'n', data @ ..] = data else { return };
    let [b'a', data @ ..] = data else { return };
    let [b'r', data @ ..] = data else { return };
    let [b'y', ..] = data else { return };
    panic!("the canary sings");
}
