//! Monte Carlo tree search over reasoning steps.
//!
//! A policy-value net proposes steps and rates states ([`Evaluator`]); the rules of a kind of
//! problem say where a step leads ([`Environment`]). From these two this crate grows trees
//! ([`search_tree`]), takes finished paths from them ([`finished_paths`]) and answers problems
//! ([`decode`]). It knows no tensors, files or network.
//!
//! # Many threads in one tree
//!
//! **What is shared.** A [`tree::Tree`] is an append-only arena of 16-byte slots made of atomics, in
//! chunks that never move: a header and its siblings lie side by side (19.2 bytes a child for five, 18
//! for eight). Nothing is freed before the tree is, and so there is no reclamation to get wrong; the one
//! `unsafe` call advises the system to back large chunks with huge pages. Text, states and other cold data lie in a
//! second table, a cell for each run of siblings, written once.
//!
//! **What a simulation does.**
//! 1. *Descend.* At each level one `fetch_add` counts the simulation in flight and returns the
//!    node's statistics from before; the children's words are then read and PUCT picks one. Counts
//!    in flight act as losses, so that workers spread. The [`tree::Path`] remembers the way.
//! 2. *Claim.* A compare-exchange of the leaf's link from unexpanded to expanding. One thread wins.
//! 3. *Evaluate.* The request goes out with no lock held and nothing borrowed from other threads.
//! 4. *Publish.* The winner takes a run of fresh slots and ids with one `fetch_add`, writes the
//!    children's records and cold data, and stores the leaf's link.
//! 5. *Back up.* Along the path, from the leaf to the root, one `fetch_add` a level adds visits and
//!    values and takes away the count in flight, all in one 64-bit word ([`tree::StatsLayout`]).
//!    Rewards of children that ended at creation ride along: sums commute.
//!
//! A tree that one thread alone searches makes the same steps with plain loads and stores in place of the additions.
//!
//! **What waits for memory.** In a tree larger than the caches each level of a descent waits for the next siblings. A worker that
//! gathers several leaves makes their descents a level at a time ([`descend_together`]): it asks for one's next siblings and goes
//! on with the others. Below each node a descent sees what it would see if they were made one after the other, so that the tree of
//! one worker is the same.
//!
//! Closing goes up along the path: whoever closes a node takes one from the count of open siblings in
//! its run's header, and whoever brings that to 0 closes the parent. A closed flag is set once
//! (`fetch_or`), so that two threads may both try: one that comes to a node whose children are all
//! closed closes it in the other's stead ([`tree::Tree::close_exhausted`]). Where states share nodes a
//! step is an edge whose one child is the shared node, made by the first to look the state up; an edge
//! learns that its state was exhausted by another way when a descent comes there.
//!
//! A node with room for more children ([`tree::Room`]) does not close with the last of them. The first descent that comes to
//! it claims it by a compare-exchange of the header, evaluates it once more, writes further children behind the others, and
//! shows them by one addition to the header, which counts siblings, open siblings and what is left of the room in one word.
//!
//! **Which ordering pairs with which.** There are two publication edges. One is the Release store of a link
//! (publish, end, give back) and its Acquire load before anything below it is read, or its Acquire
//! claim; the other the Release addition to a header's number of siblings and its Acquire load before they are read.
//! Priors, first visits and cold data travel over them. Statistics are Relaxed: a word carries
//! everything that belongs together, additions to one word are never lost, and selection may as well
//! see a sum from a moment ago. The count of open siblings in a run's header is Relaxed too: the
//! subtraction that brings it to 0 is one operation on one word, so exactly one thread sees it and
//! closes the parent. A closed flag is set by a read-modify-write, which continues the publication's
//! release sequence; the NaN that makes selection pass a closed child over may be seen late, and a
//! descent that comes there all the same finds the flag. What a finished search reports is read after
//! its workers were joined.
//!
//! **What may wait.** Descending, claiming, publishing and backing up never wait for another
//! thread, with one exception: threads that need a chunk of the arena which is just being allocated
//! wait for it, about log2 of the tree's size times in its life. A worker that meets leaves which
//! others are expanding keeps those descents in flight, so that their virtual loss drives the next
//! one elsewhere; after a few it undoes them and sleeps until an expansion finishes. That lock is
//! taken by a finishing thread only while another sleeps. Requests wait where their evaluator
//! gathers them.
//!
//! **What a failure leaves.** An error or a panic of the evaluator or the environment is returned
//! as the cause of that search. The leaf is given back and its descent undone, so that a tree never
//! keeps counts in flight; other searches are not touched.
//!
//! **What a cancellation leaves.** A search that must end does not wait for evaluations under way: it
//! hands its evaluator a [`Cancel`], which a limit, a failure of another worker or the search's own
//! caller cancels. A cancelled evaluation is taken as if it had not been asked for: the leaf is given
//! back and its descent undone, as after a failure, and the tree is returned with the reason.
//!
//! **What is reproducible.** With one worker a seed gives the same tree bit for bit: seeds of
//! requests derive from the search's seed, the leaf's id and how often the leaf may be widened yet. With several workers the schedule
//! decides the tree, and what holds is that its sums add up. A time limit is the one setting that a
//! seed does not cover. A stopped tree holds whole simulations alone, whatever stopped it, and can be
//! searched further as a finished one can ([`continue_tree`]).
//!
//! **How it is checked.** `make check-concurrency`: loom tries every schedule of two threads over
//! publication, the race for a leaf, backup, growth of the arena, closing and the wait for progress
//! (`tests/loom.rs`); ThreadSanitizer watches four threads grow trees whose cold data is plain memory
//! (`tests/race.rs`); Miri interprets the unit tests. Property tests hold the sums against random
//! settings, schedules, faults and limits.
#![deny(unsafe_code)]
#![warn(clippy::print_stdout)]

mod algorithm;
pub mod beam;
mod cancel;
mod cut;
mod environment;
mod error;
mod evaluator;
mod form;
mod growth;
mod guard;
mod harvest;
pub mod kind;
mod mcts;
mod paths;
mod pool;
mod range;
pub mod samples;
mod seed;
pub mod selection;
mod snapshot;
mod step_text;
mod sync;
pub mod testing;
mod tokens;
pub mod tree;

pub use algorithm::decoding::{self, Decoding, DecodingParseError};
pub use algorithm::{
    Candidate, Choice, DecodeConfig, Outcome, RolloutPlan, Rollouts, SampledSolution, Sampling,
    SolutionStep, best_path, choose, decode, decode_with_tree, roll_out, sample_solutions,
};
pub use cancel::{Cancel, CancelOnDrop};
pub use cut::{Cut, Cuts};
pub use environment::{Environment, Problem, ProblemError, StepError, Terminal, Transition};
pub use error::{ConfigError, SearchError};
pub use evaluator::{Action, Evaluation, Evaluator, EvaluatorError, Proposal, Request};
pub use form::Form;
pub use harvest::{
    HarvestError, LabelledSolution, LabelledStep, SOLUTION_SCHEMA, finished_paths, node_paths,
};
pub use kind::{SearchConfig, SearchKind, SearchSettings};
pub use mcts::{
    AnswerRule, Compatibility, Descent, InFlightRule, MAX_TOGETHER, MctsConfig, StopConfig,
    continue_tree, descend, descend_together, search_tree,
};
pub use pool::for_each_index;
pub use seed::{derive_seed, shuffle};
pub use selection::{Puct, Rule, SelectionConfig};
pub use snapshot::{
    NodeRecord, Nodes, SimulationRecord, StateRecord, StopReason, TREE_SCHEMA, Tag, TreeRecord,
};
pub use step_text::StepText;
pub use tokens::SampledTokens;
