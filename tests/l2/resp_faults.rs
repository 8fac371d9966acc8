//! Servers that are no Redis, or a bad one: scripts on a socket of this machine.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lmcache::storage::config::Compat;
use lmcache::storage::config::l2::RespAdapterConfig;
use lmcache::storage::l2::connector::Connector;
use lmcache::storage::l2::resp::RespConnector;

use crate::resp::{config, transfers};
use crate::support::{Buffers, Random, keys};

/// A server that greets as Redis does, and answers what comes then by a script.
struct FakeServer {
    port: u16,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

/// Reads until a whole PING has come, and answers it.
fn greet(socket: &mut TcpStream) -> std::io::Result<()> {
    let mut greeting = [0; PING.len()];
    socket.read_exact(&mut greeting)?;
    assert_eq!(&greeting[..], PING);
    socket.write_all(b"+PONG\r\n")
}

impl FakeServer {
    /// Calls `script` for each connection, one after the other, until the test is over.
    fn start(script: impl Fn(&mut TcpStream) -> std::io::Result<()> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let is_over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || {
            for socket in listener.incoming() {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                let mut socket = socket.unwrap();
                socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                // The client hangs up when it has seen enough.
                let _ = script(&mut socket);
            }
        });
        Self { port, is_over, thread: Some(thread) }
    }

    /// One that answers everything with `reply` after the greeting, and hangs up.
    fn saying(reply: Vec<u8>) -> Self {
        Self::start(move |socket| {
            greet(socket)?;
            let mut command = [0; 4096];
            let _ = socket.read(&mut command)?;
            socket.write_all(&reply)
        })
    }

    fn connector(&self, request_timeout: Duration) -> RespConnector {
        RespConnector::new(RespAdapterConfig { request_timeout, ..config(self.port) }, Compat::Native)
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

/// Loads `count` values of 5 bytes in one batch: `None` for an error, and whether it was found else.
fn load(connector: &RespConnector, count: u32) -> Vec<Option<bool>> {
    let buffers = Buffers::new(1 << 20);
    let wanted: Vec<_> = keys(0, count).into_iter().map(|key| (key, 5)).collect();
    connector.get(&transfers(&buffers, &wanted)).into_iter().map(Result::ok).collect()
}

const SHORT: Duration = Duration::from_millis(150);
const LONG: Duration = Duration::from_secs(10);

#[test]
fn replies_that_are_none_end_the_connection_and_the_batch() {
    let endless_line = [b"+".to_vec(), vec![b'x'; 100_000]].concat();
    let cases: Vec<(&[u8], [Option<bool>; 3])> = vec![
        (b"$5\r\nhello\r\n$-1\r\n$5\r\nhello\r\n", [Some(true), Some(false), Some(true)]),
        (b"$5\r\nhello\r\nHTTP/1.1 400 Bad Request\r\n\r\n", [Some(true), None, None]),
        (b"$5\r\nhello\r\n$6\r\nhello!\r\n-ERR no\r\n", [Some(true), Some(false), None]),
        (b"-ERR a\r\n-ERR b\r\n-ERR c\r\n", [None, None, None]),
        (b"$-1\r\n:1\r\n$-1\r\n", [Some(false), None, None]),
        (b"$-1\r\n+OK\r\n$-1\r\n", [Some(false), None, None]),
        (b"$-1\r\n$5\r\nhello!!\r\n", [Some(false), None, None]),
        (b"$-1\r\n$99999999999\r\nhello", [Some(false), None, None]),
        (b"$-1\r\n$9223372036854775807\r\n", [Some(false), None, None]),
        (b"$-1\r\n$-2\r\n$-1\r\n", [Some(false), None, None]),
        (b"$-1\r\n*1\r\n$-1\r\n", [Some(false), None, None]),
        (b"$-1\r\n$5\r\nhel", [Some(false), None, None]),
        (b"$-1\r\n$8\r\nhel", [Some(false), None, None]),
        (b"$-1\r\n$", [Some(false), None, None]),
        (b"\r\n\r\n\r\n", [None, None, None]),
        (b"", [None, None, None]),
        (&endless_line, [None, None, None]),
    ];
    for (reply, expected) in cases {
        let server = FakeServer::saying(reply.to_vec());
        let shown = String::from_utf8_lossy(&reply[..reply.len().min(60)]);
        assert_eq!(load(&server.connector(LONG), 3), expected, "{shown:?}");
    }
}

#[test]
fn a_refusal_is_no_reason_to_hang_up() {
    let server = FakeServer::start(|socket| {
        greet(socket)?;
        loop {
            let mut command = [0; 4096];
            if socket.read(&mut command)? == 0 {
                return Ok(());
            }
            socket.write_all(b"-ERR a\r\n")?;
        }
    });
    let connector = server.connector(LONG);
    for _ in 0..3 {
        assert_eq!(load(&connector, 1), [None]);
    }
    let status = connector.status();
    let number = |name| status.iter().find(|(field, _)| *field == name).unwrap().1.as_u64().unwrap();
    assert_eq!(
        (number("connections_made"), number("connections_lost"), number("refused_commands")),
        (1, 0, 3)
    );
    assert!(connector.is_healthy());
    connector.close();
}

#[test]
fn what_a_server_says_is_shown_short_and_in_one_line() {
    let reply = [b"-ERR \x1b[31m\n".to_vec(), vec![0xff; 1_000], b"\r\n".to_vec()].concat();
    let server = FakeServer::saying(reply);
    let buffers = Buffers::new(1 << 20);
    let errors = server.connector(LONG).get(&transfers(&buffers, &[(keys(0, 1).remove(0), 5)]));
    let error = errors.into_iter().next().unwrap().unwrap_err().to_string();
    assert!(error.contains("\\x1b[31m\\n\\xff") && error.len() < 1_200, "{error}");
    assert!(error.chars().all(|c| c.is_ascii_graphic() || c == ' '), "{error}");
}

#[test]
fn a_server_that_hangs_is_given_up_in_time() {
    let greets = FakeServer::start(|socket| {
        greet(socket)?;
        std::io::copy(socket, &mut std::io::sink()).map(drop)
    });
    let silent = FakeServer::start(|socket| std::io::copy(socket, &mut std::io::sink()).map(drop));
    for server in [&greets, &silent] {
        let connector = server.connector(SHORT);
        let start = Instant::now();
        assert_eq!(load(&connector, 3), [None; 3]);
        assert!(
            start.elapsed() >= SHORT && start.elapsed() < Duration::from_secs(5),
            "{:?}",
            start.elapsed()
        );
    }
    let connector = silent.connector(SHORT);
    assert_eq!(load(&connector, 1), [None]);
    assert!(!connector.is_healthy(), "it did not even greet");
}

/// Each byte comes in time, and all of them never.
#[test]
fn a_server_that_drips_is_given_up_in_time() {
    for reply in [&b"$100000\r\n"[..], b"$5\r\n", b""] {
        let server = FakeServer::start(move |socket| {
            greet(socket)?;
            socket.write_all(reply)?;
            loop {
                std::thread::sleep(Duration::from_millis(20));
                socket.write_all(b"x")?;
            }
        });
        let connector = server.connector(SHORT);
        let buffers = Buffers::new(1 << 20);
        let start = Instant::now();
        let wanted = [(keys(0, 1).remove(0), 100_000)];
        let results = connector.get(&transfers(&buffers, &wanted));
        assert!(results[0].is_err());
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
}

#[test]
fn a_server_that_reads_nothing_is_given_up_in_time() {
    let server = FakeServer::start(|socket| {
        greet(socket)?;
        std::thread::sleep(Duration::from_millis(800));
        Ok(())
    });
    let connector = server.connector(SHORT);
    let buffers = Buffers::new(64 << 20);
    let start = Instant::now();
    let results = connector.put(&transfers(&buffers, &[(keys(0, 1).remove(0), 60 << 20)]));
    assert!(results[0].is_err());
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

/// Pieces of right replies, cut, mixed and repeated: whatever comes, there is one result for each object, and no panic.
#[test]
fn no_reply_harms_the_client() {
    let pieces: [&[u8]; 14] = [
        b"$5\r\n",
        b"hello",
        b"\r\n",
        b"$-1\r\n",
        b"+OK\r\n",
        b"-ERR\r\n",
        b":1\r\n",
        b"$",
        b"5",
        b"\r",
        b"\n",
        b"\0",
        b"$0\r\n\r\n",
        b"\xff",
    ];
    for seed in 1..60 {
        let mut random = Random(seed * 0x9e37_79b9);
        let count = random.below(30);
        let reply =
            (0..count).flat_map(|_| pieces[random.below(pieces.len() as u64) as usize].to_vec()).collect();
        let server = FakeServer::saying(reply);
        let connector = server.connector(LONG);
        assert_eq!(load(&connector, 4).len(), 4, "seed {seed}");
    }
}
