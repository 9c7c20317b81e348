//! Real clients, written by others, against the real services.
