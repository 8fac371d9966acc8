//! One request of HTTP and its answer. The client is not trusted: it is given so much time and so many bytes.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::clock::monotonic_ns;
use crate::replay::stop::StopFlag;
use crate::storage::metrics::text::CONTENT_TYPE;

/// The most bytes of a request, its headers with it.
pub(super) const MAX_HEAD_BYTES: usize = 8192;

/// The most headers of a request.
const MAX_HEADERS: usize = 64;

/// How much time a client has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// To ask.
    pub(super) request: Duration,
    /// To read the answer.
    pub(super) response: Duration,
}

/// More than Prometheus gives: it gives up after 10 s by default.
pub(super) const PATIENCE: Patience =
    Patience { request: Duration::from_secs(5), response: Duration::from_secs(10) };

/// How often a wait for a client looks whether the endpoint is closed.
const STOP_LOOK: Duration = Duration::from_millis(50);

/// What is read and thrown away so that the answer arrives: a close on unread bytes resets the connection.
const MAX_DRAINED_BYTES: usize = 1 << 16;

/// How long that may take.
const DRAIN_TIME: Duration = Duration::from_millis(200);

/// Where metrics are.
const PATH: &str = "/metrics";

/// The answer's first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    BadRequest,
    NotFound,
    MethodNotAllowed,
    TimedOut,
    TooLarge,
    Failed,
    Busy,
}

impl Status {
    fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::BadRequest => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::TimedOut => "408 Request Timeout",
            Self::TooLarge => "431 Request Header Fields Too Large",
            Self::Failed => "500 Internal Server Error",
            Self::Busy => "503 Service Unavailable",
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::Ok => "",
            Self::BadRequest => "this is no request of HTTP\n",
            Self::NotFound => "metrics are at /metrics\n",
            Self::MethodNotAllowed => "metrics can be read only: GET or HEAD\n",
            Self::TimedOut => "the request took too long\n",
            Self::TooLarge => "the request is too large\n",
            Self::Failed => "the metrics could not be made\n",
            Self::Busy => "too many requests at a time\n",
        }
    }
}

/// What a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// The metrics, or with HEAD only how many bytes they are.
    Metrics { is_head: bool },
    /// Something that it does not get.
    Refused { status: Status, is_head: bool },
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The metrics were sent.
    Scraped,
    /// Something else was answered.
    Answered,
    /// The client asked nothing that could be understood, or did not take the answer.
    GivenUp,
}

/// Reads a request from `stream` and answers it with what `text` makes.
pub(super) fn exchange(
    stream: &mut TcpStream,
    patience: Patience,
    stop: &StopFlag,
    text: impl FnOnce() -> Option<String>,
) -> Ending {
    let mut patient = Patient { stream, stop, deadline_ns: in_ns(patience.request) };
    let Some(request) = read_request(&mut patient) else { return Ending::GivenUp };
    let (status, is_head, body) = match request {
        Request::Refused { status, is_head } => (status, is_head, None),
        Request::Metrics { is_head } => match text() {
            Some(text) => (Status::Ok, is_head, Some(text)),
            None => (Status::Failed, is_head, None),
        },
    };
    patient.deadline_ns = in_ns(patience.response);
    let answer = answer(status, body.as_deref(), is_head);
    if patient.write_all(answer.as_bytes()).is_err() {
        return Ending::GivenUp;
    }
    patient.close();
    match status {
        Status::Ok => Ending::Scraped,
        Status::NotFound | Status::MethodNotAllowed | Status::Failed => Ending::Answered,
        _ => Ending::GivenUp,
    }
}

/// Tells a client that there are too many, without waiting for it.
pub(super) fn turn_away(mut stream: TcpStream) {
    let mut request = [0; MAX_HEAD_BYTES];
    let told = stream.set_nonblocking(true).and_then(|()| {
        // What is left unread would take the answer away with it.
        let _ = stream.read(&mut request);
        stream.write(answer(Status::Busy, None, false).as_bytes())
    });
    // Who is turned away need not be told: that the connection closes says it, too.
    drop(told);
}

/// Nothing if the client has gone.
fn read_request(patient: &mut Patient<'_>) -> Option<Request> {
    let refused = |status| Some(Request::Refused { status, is_head: false });
    let (mut head, mut length) = ([0; MAX_HEAD_BYTES], 0);
    loop {
        match patient.read(&mut head[length..]) {
            Ok(0) => return None,
            Ok(count) => length += count,
            Err(error) if error.kind() == ErrorKind::TimedOut => return refused(Status::TimedOut),
            Err(_) => return None,
        }
        match parse(&head[..length]) {
            Some(request) => return Some(request),
            None if length == head.len() => return refused(Status::TooLarge),
            None => {}
        }
    }
}

/// Nothing if the head is not whole yet.
fn parse(head: &[u8]) -> Option<Request> {
    let refused = |status| Some(Request::Refused { status, is_head: false });
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Partial) => return None,
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return refused(Status::TooLarge),
        Err(_) => return refused(Status::BadRequest),
    }
    let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
    let is_head = method == "HEAD";
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    Some(match (path == PATH, method) {
        (false, _) => Request::Refused { status: Status::NotFound, is_head },
        (true, "GET" | "HEAD") => Request::Metrics { is_head },
        (true, _) => Request::Refused { status: Status::MethodNotAllowed, is_head },
    })
}

fn answer(status: Status, body: Option<&str>, is_head: bool) -> String {
    let kind = if body.is_some() { CONTENT_TYPE } else { "text/plain; charset=utf-8" };
    let body = body.unwrap_or(status.sentence());
    let (line, length) = (status.line(), body.len());
    let allow = if status == Status::MethodNotAllowed { "Allow: GET, HEAD\r\n" } else { "" };
    format!(
        "HTTP/1.1 {line}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nCache-Control: no-store\r\n\
         {allow}Connection: close\r\n\r\n{}",
        if is_head { "" } else { body }
    )
}

fn in_ns(time: Duration) -> u64 {
    monotonic_ns() + time.as_nanos() as u64
}

/// A stream whose reads and writes end at a deadline, and soon after `stop` is set if the client is what they wait for.
struct Patient<'a> {
    stream: &'a mut TcpStream,
    stop: &'a StopFlag,
    deadline_ns: u64,
}

impl Patient<'_> {
    /// What to wait for at most this time.
    fn patience(&self) -> io::Result<Duration> {
        let left = Duration::from_nanos(self.deadline_ns.saturating_sub(monotonic_ns()));
        if left.is_zero() || self.stop.is_set() {
            return Err(ErrorKind::TimedOut.into());
        }
        Ok(left.min(STOP_LOOK))
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.stream.set_read_timeout(Some(self.patience()?))?;
            match self.stream.read(buffer) {
                Err(error) if is_only_slow(&error) => {}
                done => return done,
            }
        }
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        // The metrics of a replay that has ended meanwhile are still worth having: only a wait is cut short.
        self.stream.set_write_timeout(Some(STOP_LOOK))?;
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(error) if is_only_slow(&error) => {
                    self.patience()?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Ends the answer, and reads what the client still sends, so that it gets to see it.
    fn close(mut self) {
        self.deadline_ns = in_ns(DRAIN_TIME);
        let mut thrown_away = [0; 1024];
        let mut drained_bytes = 0;
        if self.stream.shutdown(Shutdown::Write).is_err() {
            return;
        }
        while drained_bytes < MAX_DRAINED_BYTES {
            match self.read(&mut thrown_away) {
                Ok(0) | Err(_) => return,
                Ok(count) => drained_bytes += count,
            }
        }
    }
}

fn is_only_slow(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Waiter;

    fn parsed(head: &str) -> Option<Request> {
        parse(head.as_bytes())
    }

    #[test]
    fn requests_are_told_apart() {
        let refused = |status| Some(Request::Refused { status, is_head: false });
        let metrics = |is_head| Some(Request::Metrics { is_head });
        for (head, expected) in [
            ("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", metrics(false)),
            ("GET /metrics?name[]=x HTTP/1.0\r\n\r\n", metrics(false)),
            ("HEAD /metrics HTTP/1.1\r\n\r\n", metrics(true)),
            ("GET /metrics HTTP/1.1\r\nHost: a\r\n", None),
            ("", None),
            ("POST /metrics HTTP/1.1\r\n\r\n", refused(Status::MethodNotAllowed)),
            ("GET / HTTP/1.1\r\n\r\n", refused(Status::NotFound)),
            ("GET /metrics/ HTTP/1.1\r\n\r\n", refused(Status::NotFound)),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", refused(Status::BadRequest)),
            ("\x16\x03\x01\x02", refused(Status::BadRequest)),
        ] {
            assert_eq!(parsed(head), expected, "{head:?}");
        }
        let head = parsed("HEAD / HTTP/1.1\r\n\r\n");
        assert_eq!(head, Some(Request::Refused { status: Status::NotFound, is_head: true }));
    }

    #[test]
    fn as_many_headers_as_there_is_room_for_are_read_and_no_more() {
        let with = |count: usize| format!("GET /metrics HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(count));
        assert_eq!(parsed(&with(MAX_HEADERS)), Some(Request::Metrics { is_head: false }));
        let refused = Some(Request::Refused { status: Status::TooLarge, is_head: false });
        assert_eq!(parsed(&with(MAX_HEADERS + 1)), refused);
    }

    /// How an exchange ends with a client that does `client`, and what the client got to see.
    fn exchange_with(
        bytes: usize,
        client: impl FnOnce(TcpStream) -> String + Send + 'static,
    ) -> (Ending, String) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let client = std::thread::spawn(move || client(TcpStream::connect(address).expect("a listener")));
        let (mut stream, _) = listener.accept().expect("a client");
        let short = Duration::from_millis(100);
        let patience = Patience { request: short, response: short };
        let ending = exchange(&mut stream, patience, &StopFlag::default(), || Some("x".repeat(bytes)));
        drop(stream);
        (ending, client.join().expect("a client that does not panic"))
    }

    fn said(mut stream: TcpStream) -> String {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer that ends well");
        answer
    }

    #[test]
    fn a_client_that_asks_slowly_is_told_that_it_is_too_slow() {
        let (ending, answer) = exchange_with(1, |mut stream| {
            stream.write_all(b"GET /metr").expect("somebody listens");
            said(stream)
        });
        assert_eq!(ending, Ending::GivenUp);
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }

    #[test]
    fn a_client_that_does_not_read_is_given_up() {
        let (ending, _) = exchange_with(64 << 20, |mut stream| {
            stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").expect("somebody listens");
            Waiter::new(0).wait_until_ns(monotonic_ns() + 500_000_000, || false);
            String::new()
        });
        assert_eq!(ending, Ending::GivenUp);
    }

    #[test]
    fn a_head_may_be_so_long_and_no_longer() {
        let with = |bytes: usize| {
            let rest = "GET /metrics HTTP/1.1\r\nA: \r\n\r\n".len();
            format!("GET /metrics HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(bytes - rest))
        };
        for (bytes, expected) in [(MAX_HEAD_BYTES, "200"), (MAX_HEAD_BYTES + 1, "431"), (60_000, "431")] {
            let head = with(bytes);
            let (_, answer) = exchange_with(1, move |mut stream| {
                stream.write_all(head.as_bytes()).expect("somebody listens");
                said(stream)
            });
            assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{bytes}: {answer}");
        }
    }

    #[test]
    fn a_client_that_goes_is_no_loss() {
        assert_eq!(exchange_with(1, |_| String::new()).0, Ending::GivenUp);
    }

    #[test]
    fn a_head_has_the_length_and_not_the_text() {
        let (get, head) = (answer(Status::Ok, Some("abc"), false), answer(Status::Ok, Some("abc"), true));
        assert_eq!(get, format!("{head}abc"));
        assert!(head.contains("\r\nContent-Length: 3\r\n") && head.ends_with("\r\n\r\n"), "{head}");
        assert!(answer(Status::MethodNotAllowed, None, false).contains("\r\nAllow: GET, HEAD\r\n"));
    }
}
