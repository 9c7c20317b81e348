//! Disks that are recorded, each with a loop device and ext4 on it.
//!
//! The loop device turns each flush that ext4 asks for into an fsync of the recorded file, so the
//! journal knows what ext4 may rely on. All of it happens in a mount namespace of this process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fuser::BackgroundSession;
use tempfile::TempDir;

use crate::image::Image;
use crate::journal::Journal;
use crate::recorded::{self, SharedJournal, lock};

/// How long a loop device may take to let go of its file.
const UNMOUNT: Duration = Duration::from_secs(20);
/// Folders of the store that get a disk of their own when there are more.
const OWN_DISK: [&str; 2] = ["log", "extents"];

/// Recorded disks that are mounted, with a folder for the store.
pub struct Disks {
    pub journal: SharedJournal,
    disks: Vec<Disk>,
    places: TempDir,
}

struct Disk {
    image: PathBuf,
    mounted: PathBuf,
    session: Option<BackgroundSession>,
    is_mounted: bool,
}

impl Disks {
    /// New disks with empty file systems, which are all that is there when their past begins: one
    /// for all, or three. With one the flush of any file makes durable what was written to others; with
    /// three a flush that is missing is missed.
    pub fn format(disks: usize, disk_bytes: usize) -> Self {
        let mut disks = Self::attach(vec![Image::new(disk_bytes); disks]);
        for disk in &disks.disks {
            // A journal as small as it may be, so that it is reused all the time.
            let made = "-q -F -b 4096 -J size=4 -E nodiscard,lazy_itable_init=0";
            run("mkfs.ext4", &made.split(' ').collect::<Vec<_>>(), &[&disk.image]);
        }
        disks.mount("data=ordered");
        if disks.disks.len() > 1 {
            std::fs::create_dir(disks.folder()).unwrap();
            for (disk, name) in disks.disks[1..].iter().zip(OWN_DISK) {
                std::fs::create_dir(disk.mounted.join(name)).unwrap();
                let other = Path::new("../..").join(disk.mounted.file_name().unwrap()).join(name);
                std::os::unix::fs::symlink(other, disks.folder().join(name)).unwrap();
            }
            run("sync", &[], &[]);
        }
        lock(&disks.journal).restart();
        disks
    }

    /// Disks with that content, mounted; ext4 recovers by itself.
    pub fn start(images: Vec<Image>, data_mode: &str) -> Self {
        let mut disks = Self::attach(images);
        disks.mount(data_mode);
        disks
    }

    fn attach(images: Vec<Image>) -> Self {
        let places = tempfile::tempdir().unwrap();
        let count = images.len();
        let journal = Arc::new(Mutex::new(Journal::new(images)));
        let attach = |number| {
            let image = places.path().join(format!("disk{number}"));
            let mounted = places.path().join(format!("mounted{number}"));
            std::fs::create_dir(&mounted).unwrap();
            let session = Some(recorded::mount(&journal, number, &image));
            Disk { image, mounted, session, is_mounted: false }
        };
        let disks = (0..count).map(attach).collect();
        Self { journal, disks, places }
    }

    fn mount(&mut self, data_mode: &str) {
        // Without `noauto_da_alloc` ext4 flushes some files that are renamed and were not flushed.
        let options = format!("loop,noatime,noauto_da_alloc,errors=remount-ro,{data_mode}");
        for disk in &mut self.disks {
            run("mount", &["-t", "ext4", "-o", &options], &[&disk.image, &disk.mounted]);
            disk.is_mounted = true;
        }
    }

    /// Where the store goes.
    pub fn folder(&self) -> PathBuf {
        self.disks[0].mounted.join("store")
    }

    /// Unmounts all, and gives back what was recorded.
    pub fn stop(mut self) -> Journal {
        for disk in &mut self.disks {
            disk.stop();
        }
        let journal = self.journal.clone();
        drop(self.disks);
        drop(self.journal);
        self.places.close().unwrap();
        let journal = Arc::try_unwrap(journal).expect("the file systems have ended");
        journal.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk {
    fn stop(&mut self) {
        run("umount", &[], &[&self.mounted]);
        self.is_mounted = false;
        // The loop device lets go of the file a little later.
        let deadline = Instant::now() + UNMOUNT;
        while !is_done("umount", &[], &[&self.image]) {
            assert!(Instant::now() < deadline, "the loop device keeps the disk");
            std::thread::sleep(Duration::from_millis(2));
        }
        if let Some(session) = self.session.take() {
            session.join().unwrap();
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // After a failure only; what is still in use goes with the mount namespace.
        if self.is_mounted {
            is_done("umount", &["--lazy"], &[&self.mounted]);
        }
        if self.session.is_some() {
            is_done("umount", &["--lazy"], &[&self.image]);
        }
    }
}

fn run(program: &str, arguments: &[&str], paths: &[&Path]) {
    let output = command(program, arguments, paths).output().expect(program);
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

fn is_done(program: &str, arguments: &[&str], paths: &[&Path]) -> bool {
    command(program, arguments, paths).output().is_ok_and(|output| output.status.success())
}

fn command(program: &str, arguments: &[&str], paths: &[&Path]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).args(paths);
    command
}
