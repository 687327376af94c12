//! The loop: makes inputs by number, reads them, and reports.

use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::fs;
use std::time::{Duration, Instant};

use espalier::seed;

use crate::random::Random;
use crate::watch::{Bounds, Outcome, Watch};

/// Different faults of a target after which it ends.
const MOST_FAULTS: usize = 16;

/// How much is tried.
#[derive(Debug, Clone, Copy)]
pub struct Amount {
    pub seed: u64,
    pub inputs: u64,
    /// Processor time.
    pub seconds: f64,
    /// The only input that is tried.
    pub at: Option<u64>,
}

impl Amount {
    /// What every run of the tests tries of a target.
    pub const SHORT: Self = Self { seed: 1, inputs: 4000, seconds: 0.8, at: None };

    fn asked() -> Self {
        let number = |name: &str| {
            let text = env::var(name).ok()?;
            Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}: not a whole number")))
        };
        let (inputs, seconds) = (number("ESPALIER_FUZZ"), number("ESPALIER_FUZZ_SECONDS"));
        let short = if inputs.is_some() || seconds.is_some() {
            Self { inputs: u64::MAX, seconds: f64::INFINITY, ..Self::SHORT }
        } else {
            Self::SHORT
        };
        Self {
            seed: number("ESPALIER_FUZZ_SEED").unwrap_or(short.seed),
            inputs: inputs.unwrap_or(short.inputs),
            seconds: seconds.map_or(short.seconds, |seconds: u64| seconds as f64),
            at: number("ESPALIER_FUZZ_AT"),
        }
    }
}

/// What was found of a target.
pub struct Report {
    target: &'static str,
    seed: u64,
    inputs: u64,
    past: u64,
    /// By the clock, as is what the slowest took.
    reading: Duration,
    /// By the clock, with the making of inputs.
    whole: Duration,
    /// Processor time of the whole.
    processor: f64,
    slowest: Duration,
    memory: u64,
    /// By what is wrong: the first input that shows it, its number, and the fault in full.
    pub faults: BTreeMap<String, (u64, Vec<u8>, String)>,
}

/// Reads changed files as many as are asked for. `read` returns whether the reader came past the header: to what the file says, beyond that
/// it is one of its kind.
///
/// # Panics
/// When a read breaks a bound, or fewer than half of the inputs came past the header.
pub fn fuzz(
    target: &'static str,
    make: impl FnMut(&mut Random) -> Vec<u8>,
    read: impl FnMut(&[u8]) -> bool,
) {
    let report = run(target, Amount::asked(), Bounds::default(), make, read);
    eprintln!("{report}");
    report.check();
}

pub fn run(
    target: &'static str,
    amount: Amount,
    bounds: Bounds,
    mut make: impl FnMut(&mut Random) -> Vec<u8>,
    mut read: impl FnMut(&[u8]) -> bool,
) -> Report {
    let watch = Watch::new(target, amount.seed, bounds);
    let stream = seed::derive(amount.seed, &["fuzz", target]);
    let mut report = Report {
        target,
        seed: amount.seed,
        inputs: 0,
        past: 0,
        reading: Duration::ZERO,
        whole: Duration::ZERO,
        processor: 0.0,
        slowest: Duration::ZERO,
        memory: 0,
        faults: BTreeMap::new(),
    };
    let numbers = amount.at.map_or(0..amount.inputs, |at| at..at + 1);
    let (begun, clock) = (processor_seconds(), Instant::now());
    for number in numbers {
        if report.inputs % 64 == 63 && processor_seconds() - begun > amount.seconds
            || report.faults.len() == MOST_FAULTS
        {
            break;
        }
        let input = make(&mut Random::new(stream.wrapping_add(number)));
        if amount.at.is_some() {
            eprintln!("input {number} is {}", kept(target, number, &input));
        }
        report.count(number, &input, bounds, watch.read(number, || read(&input)));
    }
    report.processor = processor_seconds() - begun;
    report.whole = clock.elapsed();
    report
}

impl Report {
    fn count(&mut self, number: u64, input: &[u8], bounds: Bounds, outcome: Outcome<bool>) {
        let Outcome { result, time, memory } = outcome;
        self.inputs += 1;
        self.reading += time;
        self.slowest = self.slowest.max(time);
        self.memory = self.memory.max(memory);
        let most = bounds.memory + bounds.memory_a_byte * input.len() as u64;
        let kind = match result {
            Err(message) => Some((message.clone(), message)),
            Ok(_) if memory > most => {
                let told = format!("{} KiB for an input of {} bytes", memory >> 10, input.len());
                Some(("memory".to_owned(), told))
            }
            Ok(_) if time > bounds.time => Some(("time".to_owned(), format!("{time:.1?}"))),
            Ok(past) => {
                self.past += u64::from(past);
                None
            }
        };
        if let Some((kind, told)) = kind {
            self.faults.entry(kind).or_insert_with(|| (number, input.to_vec(), told));
        }
    }

    /// Tells every fault with the file of its input.
    ///
    /// # Panics
    /// When there is one, or too few inputs came past the header.
    pub fn check(&self) {
        let Self { target, seed, .. } = self;
        let told: Vec<String> = self
            .faults
            .values()
            .map(|(number, input, told)| {
                let file = kept(target, *number, input);
                format!("\ninput {number} of seed {seed}, which is {file}: {told}")
            })
            .collect();
        assert!(told.is_empty(), "fuzz {target}:{}", told.concat());
        assert!(
            self.past * 2 >= self.inputs || self.inputs == 1,
            "fuzz {target}: {} of {} inputs came past the header",
            self.past,
            self.inputs
        );
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, seed, inputs, past, slowest, memory, faults, .. } = self;
        // Reads have the share of the processor's time that they have of the clock's, which runs on while others have the processor.
        let share = self.reading.as_secs_f64() / self.whole.as_secs_f64();
        let microseconds = self.processor * share * 1e6 / *inputs as f64;
        write!(
            f,
            "fuzz {target:<16} {inputs:>8} inputs of seed {seed}, {:>3.0} % past the header, {:>6.1} us a read, slowest {:>7.1} ms, \
             most memory {:>7} KiB, faults {}",
            100.0 * *past as f64 / *inputs as f64,
            microseconds,
            slowest.as_secs_f64() * 1e3,
            memory >> 10,
            faults.len()
        )
    }
}

/// Writes an input to a file and names it.
fn kept(target: &str, number: u64, input: &[u8]) -> String {
    let path = env::temp_dir().join(format!("espalier-fuzz-{target}-{number}"));
    match fs::write(&path, input) {
        Ok(()) => path.display().to_string(),
        Err(error) => format!("not kept ({}: {error})", path.display()),
    }
}

/// Processor time of this thread; the clock's where the system does not tell.
fn processor_seconds() -> f64 {
    thread_local! { static BEGIN: Instant = Instant::now(); }
    let told = fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = told.and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    nanoseconds.map_or_else(|| BEGIN.with(Instant::elapsed).as_secs_f64(), |ns| ns * 1e-9)
}
