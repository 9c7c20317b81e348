//! The fabric agent: QEMU, images, nftables, the guest channel.
