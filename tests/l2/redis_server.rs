//! A Redis server of a test's own: on a free port of this machine, without persistence, gone with the test.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

/// What a server says when it listens.
const READY: &str = "Ready to accept connections";

/// A running server, killed when it goes.
#[derive(Debug)]
pub(crate) struct RedisServer {
    pub(crate) port: u16,
    arguments: Vec<String>,
    process: Child,
}

/// A port that nobody listens on. Another process can take it before it is used; who starts a server tries again.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port()
}

/// Whether there is a `redis-server`. There has to be one where `CI` is `true`; elsewhere the test says why it stops.
fn is_installed() -> bool {
    let found =
        Command::new("redis-server").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) {
        return true;
    }
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "CI needs redis-server: apt-get install redis-server"
    );
    println!("skipped: there is no redis-server on this machine (apt-get install redis-server)");
    false
}

fn spawn(port: u16, arguments: &[String]) -> Child {
    Command::new("redis-server")
        .args([
            "--port",
            &port.to_string(),
            "--save",
            "",
            "--appendonly",
            "no",
            "--bind",
            "127.0.0.1",
            "-::1",
        ])
        .args(["--dir", env!("CARGO_TARGET_TMPDIR")])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server starts")
}

impl RedisServer {
    /// Starts one, with more arguments. `None` where there is none to start.
    pub(crate) fn start(arguments: &[&str]) -> Option<Self> {
        if !is_installed() {
            return None;
        }
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        for _ in 0..5 {
            let port = free_port();
            let mut server = Self { port, process: spawn(port, &arguments), arguments: arguments.clone() };
            if server.wait_until_up() {
                return Some(server);
            }
        }
        panic!("redis-server did not come up");
    }

    /// False if the process ended: its port was taken. What listens there else is another test's.
    fn wait_until_up(&mut self) -> bool {
        let log = self.process.stdout.take().expect("its log");
        BufReader::new(log).lines().map_while(Result::ok).any(|line| line.contains(READY))
    }

    /// Ends it at once, as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
    }

    /// Starts it again on its port, empty.
    pub(crate) fn restart(&mut self) {
        self.process = spawn(self.port, &self.arguments);
        assert!(self.wait_until_up(), "redis-server comes up again");
    }

    /// Another client.
    pub(crate) fn client(&self) -> redis::Connection {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}/", self.port)).expect("an address");
        client.get_connection().expect("the server answers")
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may have been killed before.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
