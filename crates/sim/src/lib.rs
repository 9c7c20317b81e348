//! The whole fabric from one seed, in virtual time.
