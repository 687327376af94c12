//! `espalier watch`: a run as it grows, on a page for a browser and in the terminal.

mod terminal;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::arguments::print_line;
use espalier::live::Server;
use espalier::run_dir::check_is_run;

/// Watch a run that another terminal, or another machine on a shared disk, is at: a page for a browser with its charts, figures and trees
/// as they grow, and in the terminal its stage, speed, time left and last tree.
///
/// It prints the page's address, which holds a token: on a shared machine the loopback is everybody's. It reads the run directory and
/// changes nothing in it. `q` or Ctrl-C ends watching; the run goes on.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  espalier watch runs/countdown-s1\n  \
    espalier watch runs/countdown-s1 --listen 127.0.0.1:8080 --plain")]
pub struct Arguments {
    /// The run directory.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Where the page is served; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Print the page's address alone, also on a terminal.
    #[arg(long)]
    plain: bool,
}

pub fn main(arguments: &Arguments) -> Result<()> {
    let run = &arguments.run;
    check_is_run(run)?;
    let server = Server::begin(run, arguments.listen)?;
    print_line(server.address())?;
    if arguments.plain || !std::io::stdout().is_terminal() {
        // Until a signal ends the program.
        loop {
            std::thread::park();
        }
    }
    terminal::show(run, server.address())
}
