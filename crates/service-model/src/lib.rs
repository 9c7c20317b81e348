//! Service definition, service configuration and service package: parse, validate, say what is wrong and on which line.
