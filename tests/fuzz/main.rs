//! Every reader of foreign bytes against files that were valid and are changed in their structure: no panic, no hang, no memory beyond a
//! bound, no stack that overflows.
//!
//! An input is a function of target, seed and number. `ESPALIER_FUZZ` (inputs a target) and `ESPALIER_FUZZ_SECONDS` (processor time a
//! target) say how much is tried, whichever is reached first; `ESPALIER_FUZZ_SEED` is the seed, and `ESPALIER_FUZZ_AT` tries the input of
//! one number alone, which it writes to a file.

mod checkpoints;
mod columnar;
mod data;
mod gguf;
mod grading;
mod harness;
mod model;
mod mutate;
mod planted;
mod random;
mod recipes;
mod runs;
mod scratch;
mod served;
mod watch;

#[global_allocator]
static ALLOCATOR: watch::Counting = watch::Counting;
