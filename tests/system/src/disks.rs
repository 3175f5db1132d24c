//! File systems that become full or read-only while a run writes to them.

use crate::{Sandbox, may_mount};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system that only one command and what it starts can see, in a mount namespace of their own.
pub struct Disk {
    folder: PathBuf,
    /// Where its files are copied to when the command has ended.
    copy: PathBuf,
    flags: Vec<&'static str>,
    mount: String,
    /// Done before the files are copied.
    before_copy: String,
}

impl Disk {
    /// One in memory, of that size; `None` where this user may mount nothing.
    ///
    /// # Panics
    /// If the sandbox cannot be written.
    #[must_use]
    pub fn in_memory(sandbox: &Sandbox, size: &str) -> Option<Self> {
        let flags = may_mount()?;
        Some(Self::new(sandbox, flags, format!("mount -t tmpfs -o size={size} tmpfs \"$DISK\""), String::new()))
    }

    /// An ext4 of 32 MB that becomes read-only at its first error; `None` where this user may mount none. What had not reached its blocks when the
    /// command has ended is not among the files that are copied.
    ///
    /// # Panics
    /// If the sandbox cannot be written.
    #[must_use]
    pub fn of_blocks(sandbox: &Sandbox) -> Option<Self> {
        let image = sandbox.path("image");
        let file = std::fs::File::create(&image).and_then(|file| file.set_len(32 << 20));
        file.unwrap_or_else(|e| panic!("{}: {e}", image.display()));
        let made = Command::new("/sbin/mkfs.ext4").arg("-qF").arg(&image).status().is_ok_and(|s| s.success());
        let mount = format!("mount -o loop,errors=remount-ro '{}'", image.display());
        let mut test = Command::new("unshare");
        test.args(["--mount", "sh", "-c", &format!("{mount} /mnt && umount /mnt")]);
        if !made || !test.output().is_ok_and(|o| o.status.success()) {
            return None;
        }
        let again = format!("umount \"$DISK\" && {mount} \"$DISK\" || exit 98");
        Some(Self::new(sandbox, vec!["--mount"], format!("{mount} \"$DISK\""), again))
    }

    fn new(sandbox: &Sandbox, flags: Vec<&'static str>, mount: String, before_copy: String) -> Self {
        let (folder, copy) = (sandbox.path("disk"), sandbox.path("copy"));
        for folder in [&folder, &copy] {
            std::fs::create_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        }
        Self { folder, copy, flags, mount, before_copy }
    }

    /// Where the command sees it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where its files are after the end of the command.
    #[must_use]
    pub fn copy(&self) -> &Path {
        &self.copy
    }

    /// `command`, with the disk. Exit codes above 95 say that the disk failed and not the command.
    pub fn under(&self, command: &Command, sandbox: &Sandbox) -> Command {
        let script =
            format!("{} || exit 99\n\"$@\"; code=$?\n{}\ncp -r \"$DISK/.\" \"$COPY\" || exit 97\nexit $code", self.mount, self.before_copy);
        let mut wrapped = sandbox.command("unshare");
        wrapped.args(&self.flags).args(["sh", "-c", &script, "disk"]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => wrapped.env(name, value),
                None => wrapped.env_remove(name),
            };
        }
        wrapped.env("DISK", &self.folder).env("COPY", &self.copy);
        wrapped
    }

    /// Leaves no room on it.
    ///
    /// # Panics
    /// If it cannot be written before it is full.
    pub fn fill(&self, sandbox: &Sandbox) {
        let ballast = self.seen(sandbox).join("ballast");
        let mut file = std::fs::File::create(&ballast).unwrap_or_else(|e| panic!("{}: {e}", ballast.display()));
        let full = loop {
            if let Err(error) = file.write_all(&[7; 4096]) {
                break error;
            }
        };
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull, "{}", ballast.display());
    }

    /// Gives the room back.
    ///
    /// # Panics
    /// If it cannot.
    pub fn free(&self, sandbox: &Sandbox) {
        let ballast = self.seen(sandbox).join("ballast");
        std::fs::remove_file(&ballast).unwrap_or_else(|e| panic!("{}: {e}", ballast.display()));
    }

    /// Nothing can be opened for writing, made or removed any more; files that are open can still be written. The kernel grants no more while some are.
    ///
    /// # Panics
    /// If it cannot be mounted so.
    pub fn make_read_only(&self, sandbox: &Sandbox) {
        self.inside(sandbox, "mount --bind \"$DISK\" \"$DISK\" && mount -o remount,bind,ro \"$DISK\"");
    }

    /// Takes back what [`Disk::make_read_only`] did.
    ///
    /// # Panics
    /// If it cannot.
    pub fn make_writable(&self, sandbox: &Sandbox) {
        self.inside(sandbox, "umount \"$DISK\"");
    }

    /// Lets an ext4 find an error: it is read-only from then on, for open files, too.
    ///
    /// # Panics
    /// If it cannot be told.
    pub fn fail(&self, sandbox: &Sandbox) {
        self.inside(sandbox, "echo test > /sys/fs/ext4/$(basename $(findmnt -no SOURCE \"$DISK\"))/trigger_fs_error");
    }

    /// The disk as the test sees it while the command runs.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn seen(&self, sandbox: &Sandbox) -> PathBuf {
        let folder = self.folder.strip_prefix("/").expect("sandboxes have absolute paths");
        PathBuf::from(format!("/proc/{}/root", self.holder(sandbox))).join(folder)
    }

    /// A process that sees the disk: the shell that has mounted it.
    fn holder(&self, sandbox: &Sandbox) -> u32 {
        let shell = sandbox.processes().into_iter().find(|p| p.command.contains("\"$COPY\""));
        shell.expect("the command runs").pid
    }

    fn inside(&self, sandbox: &Sandbox, script: &str) {
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--target", &self.holder(sandbox).to_string()]);
        if self.flags.contains(&"--map-root-user") {
            command.args(["--user", "--preserve-credentials"]);
        }
        let output = command.args(["sh", "-c", script]).env("DISK", &self.folder).output().expect("nsenter starts");
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
