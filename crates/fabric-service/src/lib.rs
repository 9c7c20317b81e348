//! The fabric controller: reconcile loops, its own API, image serving.
