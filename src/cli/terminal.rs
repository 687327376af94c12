//! Standard output as a terminal: its size, and whether colours are for it.

use std::io::{IsTerminal, stdout};

use ratatui::crossterm::terminal;

/// A terminal that standard output goes to.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    /// Characters of a line.
    pub width: u16,
    /// Lines.
    pub height: u16,
    /// Whether it is to have colours.
    pub colours: bool,
}

impl Terminal {
    /// The terminal; `None` where the output goes elsewhere, or nobody says how large it is.
    pub fn of_output() -> Option<Self> {
        let (width, height) = stdout().is_terminal().then(terminal::size)?.ok()?;
        (width > 0).then_some(Self { width, height, colours: colours() })
    }
}

/// Whether terminals are to have colours: a dumb one has none, and none has where `NO_COLOR` is set (no-color.org).
pub fn colours() -> bool {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|name| name == "dumb");
    !plain && !dumb
}
