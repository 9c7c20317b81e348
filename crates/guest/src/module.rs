//! Kernel modules: the image lists them in load order.

use std::ffi::CString;
use std::fs::{self, File};

use crate::console;
use crate::error::{Doing, GuestError};

/// File names of the modules in load order, one a line, in [`FOLDER`].
const LIST: &str = "/lib/modules/order";
const FOLDER: &str = "/lib/modules";

/// Loads every module of the list. One that the machine does not need (PCI on a machine without)
/// may refuse: what is really missing shows when the drives are looked for.
///
/// # Errors
/// When the list or a module's file cannot be read.
pub fn load_all() -> Result<(), GuestError> {
    let list = fs::read_to_string(LIST).doing(|| format!("read {LIST}"))?;
    let command_line = fs::read_to_string("/proc/cmdline").doing(|| "read /proc/cmdline".to_owned())?;
    for name in list.lines().filter(|line| !line.is_empty()) {
        let path = format!("{FOLDER}/{name}");
        let file = File::open(&path).doing(|| format!("open {path}"))?;
        let parameters = CString::new(parameters_of(name.trim_end_matches(".ko"), &command_line));
        let parameters = parameters.map_err(std::io::Error::from).doing(|| format!("set up {name}"))?;
        if let Err(error) = rustix::system::finit_module(&file, &parameters, 0) {
            console::say(&format!("module {name}: {error}"));
        }
    }
    Ok(())
}

/// The kernel leaves `module.parameter=value` on its command line to whoever loads the module.
/// This is how a `microvm` says where its virtio devices are.
fn parameters_of(module: &str, command_line: &str) -> String {
    let canonical = |text: &str| text.replace('-', "_");
    let ours = command_line.split_ascii_whitespace().filter_map(|word| {
        let (name, parameter) = word.split_once('.')?;
        (parameter.contains('=') && canonical(name) == canonical(module)).then_some(parameter)
    });
    ours.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::parameters_of;

    #[test]
    fn parameters_come_from_the_command_line() {
        let line =
            "quiet virtio_mmio.device=512@0xfeb00000:5 x.y virtio_mmio.device=512@0xfeb00200:6 root=a.b";
        let check = |module, expected| assert_eq!(parameters_of(module, line), expected);
        check("virtio_mmio", "device=512@0xfeb00000:5 device=512@0xfeb00200:6");
        check("virtio-mmio", "device=512@0xfeb00000:5 device=512@0xfeb00200:6");
        check("virtio_blk", "");
        check("root=a", "");
    }
}
