//! A page on the loopback that shows a run as it grows. It reads the run directory and writes nothing.

mod files;
mod server;

pub use server::Server;
