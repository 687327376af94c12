//! What a read may cost, and who tells where it costs more.
//!
//! The allocator counts what the reading thread takes. A panic is caught; a read that does not end, or takes memory without end, is told
//! by a thread that looks on, and an abort (as when the stack overflows) by the signal's handler: both name the input by target, seed and number.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::io::{Write, stderr};
use std::panic::{self, AssertUnwindSafe};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// More than this ends the process before the machine has none left.
const MOST_MEMORY: i64 = 8 << 30;

/// What the read of an input may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub time: Duration,
    /// After so long nobody waits for the read any more.
    pub patience: Duration,
    /// Bytes, beside [`Self::memory_a_byte`].
    pub memory: u64,
    pub memory_a_byte: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(10),
            patience: Duration::from_secs(100),
            memory: 64 << 20,
            memory_a_byte: 64,
        }
    }
}

/// The reads of one target. Its thread alone writes, so that plain loads and stores do.
struct Slot {
    target: OnceLock<&'static str>,
    seed: AtomicU64,
    number: AtomicU64,
    /// When the read under way began, in milliseconds from the first slot's, plus 1; 0 between reads.
    began: AtomicU64,
    patience: AtomicU64,
    live: AtomicI64,
    peak: AtomicI64,
}

static SLOTS: [Slot; 64] = [const { Slot::new() }; 64];
static TAKEN: AtomicUsize = AtomicUsize::new(0);
static START: OnceLock<Instant> = OnceLock::new();

thread_local! {
    static OWN: Cell<Option<&'static Slot>> = const { Cell::new(None) };
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

impl Slot {
    const fn new() -> Self {
        Self {
            target: OnceLock::new(),
            seed: AtomicU64::new(0),
            number: AtomicU64::new(0),
            began: AtomicU64::new(0),
            patience: AtomicU64::new(0),
            live: AtomicI64::new(0),
            peak: AtomicI64::new(0),
        }
    }

    fn name(&self) -> String {
        let target = self.target.get().unwrap_or(&"");
        let (seed, number) = (self.seed.load(Relaxed), self.number.load(Relaxed));
        format!("fuzz {target}: input {number} of seed {seed}")
    }
}

/// The system's allocator, which counts for the thread of a [`Watch`].
pub struct Counting;

impl Counting {
    fn count(bytes: i64) {
        let Ok(Some(slot)) = OWN.try_with(Cell::get) else { return };
        let live = slot.live.load(Relaxed) + bytes;
        slot.live.store(live, Relaxed);
        if live > slot.peak.load(Relaxed) {
            slot.peak.store(live, Relaxed);
        }
    }
}

// SAFETY: every call is the system allocator's; counting takes no memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size() as i64);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size() as i64);
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        Self::count(-(layout.size() as i64));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::count(size as i64 - layout.size() as i64);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(at, layout, size) }
    }
}

/// What a read came to.
pub struct Outcome<T> {
    /// What it returned, or where and why it panicked.
    pub result: Result<T, String>,
    pub time: Duration,
    /// The most bytes that it held at once.
    pub memory: u64,
}

/// Watches the reads of one target on the thread that made it.
pub struct Watch(&'static Slot);

impl Watch {
    pub fn new(target: &'static str, seed: u64, bounds: Bounds) -> Self {
        look_on();
        let slot = &SLOTS[TAKEN.fetch_add(1, Relaxed)];
        slot.target.set(target).expect("a slot is taken once");
        slot.seed.store(seed, Relaxed);
        slot.patience.store(bounds.patience.as_millis() as u64, Relaxed);
        Self(slot)
    }

    pub fn read<T>(&self, number: u64, read: impl FnOnce() -> T) -> Outcome<T> {
        let slot = self.0;
        slot.number.store(number, Relaxed);
        slot.live.store(0, Relaxed);
        slot.peak.store(0, Relaxed);
        let begin = Instant::now();
        slot.began.store(milliseconds() + 1, Relaxed);
        OWN.set(Some(slot));
        let result = panic::catch_unwind(AssertUnwindSafe(read));
        OWN.set(None);
        slot.began.store(0, Relaxed);
        let time = begin.elapsed();
        let told = || PANIC.take().unwrap_or_else(|| "a panic without a message".to_owned());
        let memory = slot.peak.load(Relaxed).unsigned_abs();
        Outcome { result: result.map_err(|_| told()), time, memory }
    }
}

fn milliseconds() -> u64 {
    START.get_or_init(Instant::now).elapsed().as_millis() as u64
}

/// Starts what tells of reads that do not come back.
fn look_on() {
    static STARTED: OnceLock<()> = OnceLock::new();
    STARTED.get_or_init(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if OWN.get().is_some() {
                PANIC.set(Some(panic.to_string()));
            } else {
                before(panic);
            }
        }));
        let handler = SigHandler::Handler(tell_of_abort);
        let action = SigAction::new(handler, SaFlags::SA_ONSTACK, SigSet::empty());
        // SAFETY: the handler formats into its own stack and writes.
        unsafe { sigaction(Signal::SIGABRT, &action) }.unwrap();
        thread::spawn(|| {
            loop {
                thread::sleep(Duration::from_millis(10));
                SLOTS.iter().take(TAKEN.load(Relaxed)).for_each(end_if_endless);
            }
        });
    });
}

fn end_if_endless(slot: &Slot) {
    let began = slot.began.load(Relaxed);
    let patience = slot.patience.load(Relaxed);
    let waited = (milliseconds() + 1).saturating_sub(began);
    let endless = began > 0 && waited > patience;
    let peak = slot.peak.load(Relaxed);
    if endless {
        eprintln!("{}: has not ended after {waited} ms", slot.name());
    } else if began > 0 && peak > MOST_MEMORY {
        eprintln!("{}: takes {} MiB and more", slot.name(), peak >> 20);
    } else {
        return;
    }
    std::process::abort();
}

extern "C" fn tell_of_abort(_: i32) {
    for slot in SLOTS.iter().take(TAKEN.load(Relaxed)).filter(|slot| slot.began.load(Relaxed) > 0) {
        let mut text = [0; 160];
        let mut rest = &mut text[..];
        let target = slot.target.get().unwrap_or(&"");
        let (seed, number) = (slot.seed.load(Relaxed), slot.number.load(Relaxed));
        _ = writeln!(rest, "fuzz {target}: aborted while reading input {number} of seed {seed}");
        let left = rest.len();
        let told = &text[..text.len() - left];
        _ = nix::unistd::write(stderr(), told);
    }
}
