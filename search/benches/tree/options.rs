//! The options of the command line.

use std::str::FromStr;

const USAGE: &str = "\
Times the tree beside the crate mcts and a floor; each figure is the median of several processes.

cargo bench -p espalier-search --bench tree -- [OPTIONS]
  --threads N       threads beside one [default: the cores]
  --simulations N   simulations of each synthetic tree [default: 1000000]
  --repetitions N   repetitions of each case [default: 5]
  --json            print one JSON object a case";

pub struct Options {
    pub threads: usize,
    pub simulations: u64,
    pub repetitions: u64,
    pub json: bool,
    /// One repetition of this case alone, in this process.
    pub case: Option<usize>,
}

impl Options {
    /// Reads the arguments; an error is the message to show.
    pub fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self {
            threads: cores(),
            simulations: 1_000_000,
            repetitions: 5,
            json: false,
            case: None,
        };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = || rest.next().map(String::as_str);
            match argument.as_str() {
                "--bench" => {}
                "--json" => options.json = true,
                "--threads" => options.threads = number(argument, value(), 1..=1024)?,
                "--simulations" => {
                    options.simulations = number(argument, value(), 1..=100_000_000)?;
                }
                "--repetitions" => options.repetitions = number(argument, value(), 1..=1000)?,
                "--case" => options.case = Some(number(argument, value(), 0..=1000)?),
                _ => return Err(USAGE.to_owned()),
            }
        }
        Ok(options)
    }
}

fn number<T: FromStr>(
    option: &str,
    value: Option<&str>,
    range: std::ops::RangeInclusive<u64>,
) -> Result<T, String> {
    let number = value.and_then(|value| value.parse().ok()).filter(|value| range.contains(value));
    let number = number.and_then(|number| number.to_string().parse().ok());
    number.ok_or_else(|| {
        format!("{option} takes a number from {} to {}\n{USAGE}", range.start(), range.end())
    })
}

/// The machine's cores.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
