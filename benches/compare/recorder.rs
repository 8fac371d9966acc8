//! Recording beside its rivals: the rows of the package's own bench `recorder`, and
//! * `rtrb`: a ring of slots of 64 bytes, by the best kept ring of the registry, with our stamp and our bytes;
//! * `ticklog`: a logger with a ring per thread and a thread that formats; five numbers of 8 bytes, as many bytes
//!   as a row has. Its lines are counted, because it drops silently, and a dropped record is a cheap one;
//! * `fastrace`: spans, that is two stamps for each call; no arguments.
//!
//! ```text
//! cd benches/compare && cargo bench
//! ```

#[path = "../recorder/contenders.rs"]
mod contenders;
#[path = "../recorder/harness.rs"]
mod harness;

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use contenders::{ONE_KEY_BYTES, Template};
use fastrace::Span;
use fastrace::collector::{Config, Reporter, SpanContext, SpanRecord};
use fastrace::local::LocalSpan;
use harness::{Contender, Row};

const RTRB_SLOTS: usize = lmcache::trace::ring::DEFAULT_RING_BYTES / ONE_KEY_BYTES;
/// What ticklog writes to its ring for five numbers, without its own header.
const NUMBERS_BYTES: usize = 40;

fn main() {
    let (calls, lines) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
    let guard = ticklog::configure! { sink: CountedSink(Arc::clone(&lines)) }.expect("one logger");
    ticklog::warm_up().expect("a buffer for this thread");
    fastrace::set_reporter(NoReport, Config::default());
    let mut rows = contenders::rows();
    rows.push(Row::new("rtrb, 1 key", ONE_KEY_BYTES, RtrbSlots::new()));
    rows.push(Row::new("ticklog, 5 numbers", NUMBERS_BYTES, Ticklog { calls: Arc::clone(&calls) }));
    rows.push(Row::new("fastrace, 1 span", 0, Fastrace { trace: None }));
    harness::run(&mut rows, harness::Effort::from_arguments());
    drop(guard);
    // Relaxed: dropping the guard joined the thread that counts.
    let (calls, lines) = (calls.load(Ordering::Relaxed), lines.load(Ordering::Relaxed));
    println!("ticklog: {calls} calls, {} lost", calls - lines);
}

struct RtrbSlots {
    template: Template<1>,
    producer: rtrb::Producer<[u8; ONE_KEY_BYTES]>,
    consumer: rtrb::Consumer<[u8; ONE_KEY_BYTES]>,
    scratch: Vec<[u8; ONE_KEY_BYTES]>,
}

impl RtrbSlots {
    fn new() -> Self {
        let (mut producer, mut consumer) = rtrb::RingBuffer::new(RTRB_SLOTS);
        // Its memory is touched before it is timed, as ours is.
        while producer.push([1; ONE_KEY_BYTES]).is_ok() {}
        while consumer.pop().is_ok() {}
        Self { template: Template::new(), producer, consumer, scratch: Vec::with_capacity(RTRB_SLOTS) }
    }
}

impl Contender for RtrbSlots {
    #[inline(always)]
    fn call(&mut self) {
        let mut record = [0; ONE_KEY_BYTES];
        self.template.write(&mut record);
        self.producer.push(record).expect("the ring was drained");
    }

    fn drain(&mut self) {
        let chunk = self.consumer.read_chunk(self.consumer.slots()).expect("as many as there are");
        let (first, second) = chunk.as_slices();
        self.scratch.clear();
        self.scratch.extend_from_slice(first);
        self.scratch.extend_from_slice(second);
        chunk.commit_all();
    }
}

struct Ticklog {
    calls: Arc<AtomicU64>,
}

impl Contender for Ticklog {
    #[inline(always)]
    fn call(&mut self) {
        let [a, b, c, d, e] = *black_box(&[1_u64, 2, 3, 4, 5]);
        ticklog::info!("{} {} {} {} {}", a, b, c, d, e);
        // Relaxed, and no read-modify-write: this thread alone counts.
        self.calls.store(self.calls.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

struct CountedSink(Arc<AtomicU64>);

impl ticklog::LogSink for CountedSink {
    fn accept(&mut self, _line: &[u8], _level: ticklog::Level) -> std::io::Result<()> {
        // Relaxed: a count.
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// The root span that the calls between two pauses belong to. The guard is dropped first.
struct Trace {
    _local: fastrace::local::LocalParentGuard,
    _root: Span,
}

struct Fastrace {
    trace: Option<Trace>,
}

impl Contender for Fastrace {
    #[inline(always)]
    fn call(&mut self) {
        drop(LocalSpan::enter_with_local_parent("reserve_write"));
    }

    fn drain(&mut self) {
        self.trace = None;
        let root = Span::root("batch", SpanContext::random());
        self.trace = Some(Trace { _local: root.set_local_parent(), _root: root });
    }
}

struct NoReport;

impl Reporter for NoReport {
    fn report(&mut self, spans: Vec<SpanRecord>) {
        black_box(spans);
    }
}
