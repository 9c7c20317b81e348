//! The pure core of the fabric agent: VM, drive, filter and load-balancer plans.
