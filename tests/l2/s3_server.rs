//! An S3 server of a test's own: `s3s-fs`, which keeps objects as files; gone with the test.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::redis_server::free_port;

/// The names and the word that the server knows.
pub(crate) const ACCESS_KEY: &str = "lmcache";
pub(crate) const SECRET_KEY: &str = "hunter2-hunter2";

/// How long a server may take to come up.
const START: Duration = Duration::from_secs(20);

/// A running server, killed when it goes.
#[derive(Debug)]
pub(crate) struct S3Server {
    pub(crate) port: u16,
    folder: TempDir,
    process: Child,
}

/// The program: what `S3S_FS` names, or `s3s-fs`. There has to be one where `CI` is `true`; elsewhere the test says why it
/// stops.
fn program() -> Option<PathBuf> {
    let program = std::env::var_os("S3S_FS").map_or_else(|| PathBuf::from("s3s-fs"), PathBuf::from);
    let found = Command::new(&program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) {
        return Some(program);
    }
    let install = "cargo install s3s-fs --version 0.14.1 --features binary --locked";
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "CI needs s3s-fs, or S3S_FS with its path: {install}"
    );
    println!("skipped: there is no s3s-fs on this machine, and S3S_FS names none ({install})");
    None
}

/// A bucket, and the domain that it is below where it stands in the host.
pub(crate) const BUCKET: &str = "bucket";
pub(crate) const DOMAIN: &str = "s3.test";

fn spawn(program: &Path, folder: &Path, port: u16) -> Child {
    let mut command = Command::new(program);
    command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
    command.args(["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY]);
    command
        .args(["--domain", DOMAIN])
        .arg(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("s3s-fs starts")
}

impl S3Server {
    /// Starts one with an empty bucket. `None` where there is none to start.
    pub(crate) fn start() -> Option<Self> {
        let program = program()?;
        for _ in 0..5 {
            let folder = TempDir::new().expect("a folder");
            std::fs::create_dir(folder.path().join(BUCKET)).expect("a bucket");
            let port = free_port();
            let process = spawn(&program, folder.path(), port);
            let mut server = Self { port, folder, process };
            if server.wait_until_up() {
                return Some(server);
            }
        }
        panic!("s3s-fs did not come up");
    }

    /// False if the process ended: its port was taken. What listens there else is another test's.
    fn wait_until_up(&mut self) -> bool {
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(start.elapsed() < START, "s3s-fs did not come up");
            std::thread::sleep(Duration::from_millis(5));
        }
        // One that finds its port taken is gone by then.
        std::thread::sleep(Duration::from_millis(50));
        self.process.try_wait().is_ok_and(|ended| ended.is_none())
    }

    /// Where it keeps the object of this name.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(BUCKET).join(name)
    }

    /// How many objects it keeps in folders whose names begin like this.
    pub(crate) fn objects_below(&self, folder: &str) -> u64 {
        let entries =
            |path: &Path| std::fs::read_dir(path).expect("a folder").map(|entry| entry.expect("an entry"));
        let bucket = entries(&self.folder.path().join(BUCKET));
        let folders = bucket.filter(|entry| entry.file_name().to_string_lossy().starts_with(folder));
        let files = folders.flat_map(|folder| entries(&folder.path()));
        files.filter(|file| file.file_type().is_ok_and(|kind| kind.is_file())).count() as u64
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
    }

    /// Starts it again, with what it had.
    pub(crate) fn restart(&mut self) {
        let program = program().expect("it was there");
        self.process = spawn(&program, self.folder.path(), self.port);
        assert!(self.wait_until_up(), "s3s-fs comes up again");
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        // It may have been killed before.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
