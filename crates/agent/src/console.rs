//! A VM's console, in a file that the guest cannot make grow for ever.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{OpenOptionsExt, chown};
use std::path::Path;

use welkin_node::vm::{CONSOLE, QEMU_LOG};

/// The console's file is cut when it has grown to this.
const BYTES_MAX: u64 = 1 << 20;
/// What is kept of it then, in a file beside it.
const KEPT_BYTES: u64 = 256 << 10;
/// What is shown of it.
const SHOWN_BYTES: u64 = 64 << 10;
/// What is shown of last words.
const LAST_WORDS_BYTES: u64 = 400;
const LAST_WORDS_LINES: usize = 2;
const OLD: &str = "console.log.1";

/// Makes the console's file, which QEMU then only appends to.
pub fn make(folder: &Path, uid: u32) -> io::Result<()> {
    let path = folder.join(CONSOLE);
    OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
    chown(&path, Some(uid), Some(uid))
}

/// Cuts the console's file if it has grown too large. QEMU appends, so that it goes on at the new end.
pub fn rotate(folder: &Path) -> io::Result<()> {
    let path = folder.join(CONSOLE);
    let file = OpenOptions::new().read(true).write(true).open(&path)?;
    if file.metadata()?.len() > BYTES_MAX {
        fs::write(folder.join(OLD), tail(&path, KEPT_BYTES)?)?;
        file.set_len(0)?;
    }
    Ok(())
}

/// The end of the console.
pub fn shown(folder: &Path) -> io::Result<Vec<u8>> {
    let now = tail(&folder.join(CONSOLE), SHOWN_BYTES)?;
    let room = SHOWN_BYTES.saturating_sub(now.len() as u64);
    let mut bytes = tail(&folder.join(OLD), room).unwrap_or_default();
    bytes.extend(now);
    Ok(bytes)
}

/// What was said last before a VM ended, on one line: by QEMU if it said anything, else on the console.
pub fn last_words(folder: &Path) -> String {
    let words = |file| {
        let bytes = tail(&folder.join(file), LAST_WORDS_BYTES).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).replace(|c: char| c.is_control() && c != '\n', " ");
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(LAST_WORDS_LINES)..].join("; ")
    };
    let qemu = words(QEMU_LOG);
    if qemu.is_empty() { words(CONSOLE) } else { qemu }
}

fn tail(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes_max)))?;
    let mut bytes = vec![];
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_its_end_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let line = "a".repeat(99) + "\n";
        let write = |text: &str| fs::write(folder.path().join(CONSOLE), text).unwrap();
        write(&line);
        rotate(folder.path()).unwrap();
        assert_eq!(shown(folder.path()).unwrap(), line.as_bytes());
        write(&line.repeat(20_000));
        rotate(folder.path()).unwrap();
        assert_eq!(fs::metadata(folder.path().join(CONSOLE)).unwrap().len(), 0);
        assert_eq!(fs::metadata(folder.path().join(OLD)).unwrap().len(), KEPT_BYTES);
        write("the end\n");
        let text = shown(folder.path()).unwrap();
        assert_eq!(text.len() as u64, SHOWN_BYTES);
        assert!(text.ends_with(b"aaa\nthe end\n"));
    }

    #[test]
    fn last_words_are_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let check = |console: &str, qemu: &str, expected: &str| {
            fs::write(folder.path().join(CONSOLE), console).unwrap();
            fs::write(folder.path().join(QEMU_LOG), qemu).unwrap();
            assert_eq!(last_words(folder.path()), expected);
        };
        check("", "", "");
        check("boot\r\nno drive D\r\n[ 1.0] reboot\r\n\r\n", "", "no drive D; [ 1.0] reboot");
        check("boot\n", "qemu: no memory\n", "qemu: no memory");
        check("\u{1b}[31mred", "", "[31mred");
    }
}
