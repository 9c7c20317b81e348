//! What an account, a container, a blob, a table and a queue mean, over the store.
