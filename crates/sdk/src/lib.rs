//! What role code links: the role environment, and storage over signed HTTP.
