//! Whole-program tests: they drive the real binary in a temporary folder.

mod arithmetic;
mod cli;
mod completions;
mod data;
mod evaluation;
mod execution;
mod gate;
mod go_on;
mod grading;
mod improves;
mod inspect;
mod labels;
mod no_net;
mod outputs;
mod probe;
mod program;
mod reasoning_gym;
mod recipes;
mod resume;
mod rewards;
mod search_kinds;
mod tokens;
mod transpositions;
mod upgrade;
mod verifier;
mod word_problems;
