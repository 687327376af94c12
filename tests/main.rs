//! Whole-program tests: they drive the real binary in a temporary folder.

mod cli;
mod completions;
mod data;
mod execution;
mod grading;
mod improves;
mod inspect;
mod program;
mod reasoning_gym;
mod resume;
mod transpositions;
mod verifier;
mod word_problems;
