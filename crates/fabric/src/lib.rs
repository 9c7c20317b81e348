//! The pure core of the fabric controller: placement, network plan, what each node's goal is.
