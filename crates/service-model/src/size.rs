//! `vmsize`: what an instance of a role gets.

use std::fmt;

/// Size of a role's instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoleSize {
    /// 1 core, 768 MiB.
    ExtraSmall,
    /// 1 core, 1.75 GiB; the default.
    Small,
    /// 2 cores, 3.5 GiB.
    Medium,
    /// 4 cores, 7 GiB.
    Large,
    /// 8 cores, 14 GiB.
    ExtraLarge,
}

impl RoleSize {
    /// Every size, the smallest first.
    pub const ALL: [Self; 5] = [Self::ExtraSmall, Self::Small, Self::Medium, Self::Large, Self::ExtraLarge];

    /// Name, cores, memory and local disk, as "List Role Sizes" of the management API gives the
    /// sizes of 2010.
    const fn row(self) -> (&'static str, u32, u32, u32) {
        match self {
            Self::ExtraSmall => ("ExtraSmall", 1, 768, 20_480),
            Self::Small => ("Small", 1, 1_792, 230_400),
            Self::Medium => ("Medium", 2, 3_584, 501_760),
            Self::Large => ("Large", 4, 7_168, 1_024_000),
            Self::ExtraLarge => ("ExtraLarge", 8, 14_336, 2_088_960),
        }
    }

    /// The name, as `vmsize` has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    /// Virtual processors.
    #[must_use]
    pub const fn cores(self) -> u32 {
        self.row().1
    }

    /// Memory of the VM.
    #[must_use]
    pub const fn memory_mib(self) -> u32 {
        self.row().2
    }

    /// Local disk: what all local resources of a role may ask for together.
    #[must_use]
    pub const fn local_disk_mib(self) -> u32 {
        self.row().3
    }
}

impl fmt::Display for RoleSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
