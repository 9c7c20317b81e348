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
    /// 2 cores, 14 GiB.
    A5,
    /// 4 cores, 28 GiB.
    A6,
    /// 8 cores, 56 GiB.
    A7,
    /// 1 core, 3.5 GiB.
    StandardD1,
    /// 2 cores, 7 GiB.
    StandardD2,
    /// 4 cores, 14 GiB.
    StandardD3,
    /// 8 cores, 28 GiB.
    StandardD4,
    /// 2 cores, 14 GiB.
    StandardD11,
    /// 4 cores, 28 GiB.
    StandardD12,
    /// 8 cores, 56 GiB.
    StandardD13,
    /// 16 cores, 112 GiB.
    StandardD14,
}

impl RoleSize {
    /// Every size: those of 2010, then the larger memories, then those on solid state drives.
    pub const ALL: [Self; 16] = [
        Self::ExtraSmall,
        Self::Small,
        Self::Medium,
        Self::Large,
        Self::ExtraLarge,
        Self::A5,
        Self::A6,
        Self::A7,
        Self::StandardD1,
        Self::StandardD2,
        Self::StandardD3,
        Self::StandardD4,
        Self::StandardD11,
        Self::StandardD12,
        Self::StandardD13,
        Self::StandardD14,
    ];

    /// Name, cores, memory and local disk, as "List Role Sizes" of the management API gives the
    /// sizes of 2010, and `cloud-services-sizes-specs` those that came later.
    const fn row(self) -> (&'static str, u32, u32, u32) {
        match self {
            Self::ExtraSmall => ("ExtraSmall", 1, 768, 20_480),
            Self::Small => ("Small", 1, 1_792, 230_400),
            Self::Medium => ("Medium", 2, 3_584, 501_760),
            Self::Large => ("Large", 4, 7_168, 1_024_000),
            Self::ExtraLarge => ("ExtraLarge", 8, 14_336, 2_088_960),
            Self::A5 => ("A5", 2, 14_336, 501_760),
            Self::A6 => ("A6", 4, 28_672, 1_024_000),
            Self::A7 => ("A7", 8, 57_344, 2_088_960),
            Self::StandardD1 => ("Standard_D1", 1, 3_584, 51_200),
            Self::StandardD2 => ("Standard_D2", 2, 7_168, 102_400),
            Self::StandardD3 => ("Standard_D3", 4, 14_336, 204_800),
            Self::StandardD4 => ("Standard_D4", 8, 28_672, 409_600),
            Self::StandardD11 => ("Standard_D11", 2, 14_336, 102_400),
            Self::StandardD12 => ("Standard_D12", 4, 28_672, 204_800),
            Self::StandardD13 => ("Standard_D13", 8, 57_344, 409_600),
            Self::StandardD14 => ("Standard_D14", 16, 114_688, 819_200),
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
