//! A VM as a QEMU command line.
//!
//! QEMU runs in the instance's folder as a user of its own, so that every path is a short name in it. It owns
//! its sockets and outlives the fabric agent.

use welkin_agent_wire::Accelerator;
use welkin_agent_wire::guest::PORT_NAME;
use welkin_base::InstanceId;

use serde::{Deserialize, Serialize};

use crate::slot::Slot;

/// QEMU's program.
pub const QEMU: &str = "qemu-system-x86_64";
/// Names in the instance's folder.
pub const KERNEL: &str = "kernel";
/// The initramfs.
pub const INITRAMFS: &str = "initramfs";
/// D's base.
pub const D_BASE: &str = "d.base";
/// D's delta.
pub const D: &str = "d.qcow2";
/// E's base.
pub const E_BASE: &str = "e.base";
/// E's delta.
pub const E: &str = "e.qcow2";
/// C.
pub const C: &str = "c.img";
/// The console's log.
pub const CONSOLE: &str = "console.log";
/// What QEMU itself says.
pub const QEMU_LOG: &str = "qemu.log";
/// The folder that QEMU makes its socket in.
pub const RUN: &str = "run";
/// The socket of the guest channel.
pub const CHANNEL: &str = "run/channel.sock";

/// Translated code that an emulated VM keeps, in MiB: QEMU's own default would be 1 GiB.
pub const TCG_CACHE_MIB: u32 = 64;

/// The kind of machine that QEMU shows to the guest.
///
/// Measured with the guest OS, emulated, one processor, 256 MiB, on a busy machine of two cores:
///
/// | machine | until ready | then, each second | resident |
/// |---|---|---|---|
/// | `q35` | 2.2 s of processor time | 17 ms | 243 MB |
/// | `microvm` | 2.0 s | 46 ms | 248 MB |
///
/// An instance lives much longer than it boots, and `q35` has a clock of its own, so it is the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Machine {
    /// A PC with PCI and ACPI.
    Q35,
    /// No PCI. Emulated, its clock is right only where the host's time stamp counter runs at the frequency that
    /// `/proc/cpuinfo` shows.
    Microvm,
}

impl Machine {
    /// The suffix of virtio devices on the machine's bus.
    fn bus(self) -> &'static str {
        match self {
            Self::Q35 => "pci",
            Self::Microvm => "device",
        }
    }
}

/// Everything that a VM's command line follows from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmSpec {
    /// Whose VM.
    pub id: InstanceId,
    /// Its slot.
    pub slot: Slot,
    /// The kind of machine.
    pub machine: Machine,
    /// How it runs.
    pub accelerator: Accelerator,
    /// Virtual processors.
    pub cores: u32,
    /// Memory.
    pub memory_mib: u32,
    /// The guest interface's address.
    pub mac: String,
    /// Frequency of the host's time stamp counter, where known: `microvm` has no timer to calibrate it by.
    pub tsc_khz: Option<u32>,
}

/// The program and its arguments.
#[must_use]
pub fn qemu_command(spec: &VmSpec) -> Vec<String> {
    let parts = [
        base(spec.machine, spec.accelerator, spec.cores, spec.memory_mib),
        vec!["-name".to_owned(), format!("guest={}", spec.id)],
        boot(&kernel_arguments(spec)),
        drives(spec),
        network(spec),
        channel(spec),
        confinement(),
    ];
    std::iter::once(QEMU.to_owned()).chain(parts.into_iter().flatten()).collect()
}

/// What the kernel says on the console when it starts its first process.
pub const PROBED: &str = "Run /init as init process";

/// A VM that proves whether KVM works: the guest's kernel and initramfs, and nothing else.
#[must_use]
pub fn probe_command(machine: Machine) -> Vec<String> {
    let (kvm, cores, memory_mib) = (Accelerator::Kvm, 1, 256);
    let parts = [base(machine, kvm, cores, memory_mib), boot("console=ttyS0 panic=-1"), confinement()];
    std::iter::once(QEMU.to_owned()).chain(parts.into_iter().flatten()).collect()
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn base(machine: Machine, accelerator: Accelerator, cores: u32, memory_mib: u32) -> Vec<String> {
    let machine = match machine {
        Machine::Q35 => "-M q35,usb=off,sata=off,smbus=off,hpet=off,vmport=off -bios qboot.rom",
        Machine::Microvm => "-M microvm,acpi=on,rtc=on",
    };
    let processor = match accelerator {
        Accelerator::Kvm => "-accel kvm -cpu host".to_owned(),
        Accelerator::Tcg => format!("-accel tcg,thread=multi,tb-size={TCG_CACHE_MIB} -cpu qemu64,-svm"),
    };
    words(&format!(
        "-nodefaults -no-user-config -display none -no-reboot {machine} {processor} -smp {cores} -m {memory_mib}"
    ))
}

fn boot(append: &str) -> Vec<String> {
    let mut arguments = words(&format!(
        "-kernel {KERNEL} -initrd {INITRAMFS} -chardev file,id=console,path={CONSOLE},append=on -serial chardev:console"
    ));
    arguments.extend(["-append".to_owned(), append.to_owned()]);
    arguments
}

fn kernel_arguments(spec: &VmSpec) -> String {
    // The guest ends rather than hangs when it panics, and the node starts it again. Self-tests of the kernel's
    // ciphers and mitigations of faults of a real processor cost an emulated one seconds.
    let mut append = "console=ttyS0 quiet panic=-1 cryptomgr.notests=1".to_owned();
    if spec.accelerator == Accelerator::Tcg {
        append.push_str(" mitigations=off");
    }
    if let (Machine::Microvm, Accelerator::Tcg, Some(tsc_khz)) =
        (spec.machine, spec.accelerator, spec.tsc_khz)
    {
        // An emulated processor counts as the host's does, and the machine has no timer to calibrate it by.
        append.push_str(&format!(" tsc=reliable tsc_early_khz={tsc_khz}"));
    }
    append
}

fn drives(spec: &VmSpec) -> Vec<String> {
    let bus = spec.machine.bus();
    [("D", D, "qcow2"), ("E", E, "qcow2"), ("C", C, "raw")]
        .iter()
        .flat_map(|(letter, file, format)| {
            words(&format!(
                "-drive if=none,id={letter},file={file},format={format},discard=unmap \
                 -device virtio-blk-{bus},drive={letter},serial={letter}"
            ))
        })
        .collect()
}

fn network(spec: &VmSpec) -> Vec<String> {
    let (bus, tap, mac) = (spec.machine.bus(), spec.slot.tap(), &spec.mac);
    let rom = if spec.machine == Machine::Q35 { ",romfile=" } else { "" };
    words(&format!(
        "-netdev tap,id=net,ifname={tap},script=no,downscript=no \
         -device virtio-net-{bus},netdev=net,mac={mac}{rom} -device virtio-rng-{bus}"
    ))
}

fn channel(spec: &VmSpec) -> Vec<String> {
    let bus = spec.machine.bus();
    words(&format!(
        "-device virtio-serial-{bus} -chardev socket,id=channel,path={CHANNEL},server=on,wait=off \
         -device virtserialport,chardev=channel,name={PORT_NAME}"
    ))
}

fn confinement() -> Vec<String> {
    words("-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::samples;

    #[test]
    fn command_lines() {
        let check = |machine, accelerator, expected| {
            let spec = VmSpec {
                id: samples::id(0),
                slot: Slot::new(3).unwrap(),
                machine,
                accelerator,
                cores: 2,
                memory_mib: 192,
                mac: "02:00:00:00:00:02".into(),
                tsc_khz: Some(2_000_000),
            };
            samples::check_golden(&(qemu_command(&spec).join("\n") + "\n"), expected);
        };
        check(Machine::Q35, Accelerator::Tcg, "q35-tcg.txt");
        check(Machine::Microvm, Accelerator::Kvm, "microvm-kvm.txt");
    }
}
