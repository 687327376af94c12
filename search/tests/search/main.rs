//! Tests of the crate from outside, in one binary.

mod decoding;
mod features;
mod golden_tree;
mod gumbel;
mod harvest;
mod invariants;
mod kinds;
mod leaf_batch;
mod order;
mod rewards;
mod script;
mod tokens;
mod transpositions;
mod truncated;
mod widening;
mod without_replacement;
