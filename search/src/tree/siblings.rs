//! The children of a node as selection sees them.

use wide::{f64x2, u64x2};

use super::Tree;
use super::node::Node;
use super::slot::Slot;
use super::stats::StatsLayout;
use crate::sync::Ordering;

/// What a simulation that has not come back yet counts for at a node on its way, so that workers
/// spread.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InFlight {
    /// Visits of value -1 (virtual loss), >= 0.
    pub loss: f64,
    /// Visits in the exploration term, >= `loss`.
    pub explored: f64,
}

/// A snapshot of two children side by side. Simulations in flight are counted in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// N, as the denominator of Q.
    pub visits: f64x2,
    /// N, as the exploration term counts it.
    pub explored: f64x2,
    /// W: sum of the values backed up, each in [-1, 1].
    pub value_sum: f64x2,
    /// P(s, a), in [0, 1]; NaN for a child that may not be chosen, which makes its score one, too.
    pub prior: f64x2,
}

/// A snapshot of one child. Simulations in flight are counted in.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Child {
    /// N, as the denominator of Q.
    pub visits: f64,
    /// N, as the exploration term counts it.
    pub explored: f64,
    /// W: sum of the values backed up, each in [-1, 1].
    pub value_sum: f64,
    /// P(s, a), in [0, 1]; NaN for a child that may not be chosen.
    pub prior: f64,
}

impl Child {
    /// `Q = W / N`; None when it was never tried.
    #[must_use]
    pub fn q(&self) -> Option<f64> {
        (self.visits > 0.0).then(|| self.value_sum / self.visits)
    }

    /// Whether it may not be chosen.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.prior.is_nan()
    }

    /// The prior; 0 for a child that may not be chosen.
    #[must_use]
    pub fn open_prior(&self) -> f64 {
        if self.is_closed() { 0.0 } else { self.prior }
    }
}

/// The statistics of a node from before a descent entered it, simulations in flight counted in.
#[derive(Clone, Copy)]
pub struct Entered<'t> {
    pub(super) word: u64,
    pub(super) tree: &'t Tree,
}

impl Entered<'_> {
    /// N, as the exploration term counts it.
    #[inline(always)]
    #[must_use]
    pub fn visits(&self) -> f64 {
        let (visits, in_flight) = self.tree.layout.counts(self.word);
        match self.tree.in_flight {
            // Nobody else would read the count in flight.
            None => visits,
            Some(counts) => visits + counts.explored * in_flight,
        }
    }

    /// Q, the mean of the values backed up, losses in flight left out; 0 when there are none.
    #[must_use]
    pub fn q(&self) -> f64 {
        self.tree.layout.unpack(self.word).q()
    }
}

/// The children of one node. Reading the same child twice may give statistics of two moments.
#[derive(Clone, Copy)]
pub struct Siblings<'t> {
    pub(super) slots: &'t [Slot],
    pub(super) header: &'t Slot,
    pub(super) layout: StatsLayout,
    /// None where one descent at a time is under way.
    pub(super) in_flight: Option<InFlight>,
    /// See [`Siblings::taking_turns`].
    pub(super) taking_turns: bool,
}

impl<'t> Siblings<'t> {
    /// The same for one of several descents that take turns: [`Siblings::best`] then does without guesses. The next level is
    /// not read at once, so that a winner foreseen gains nothing, and with one foreseen wrongly the processor would throw
    /// away what it has begun of the descents whose turn comes next.
    #[inline]
    #[must_use]
    pub fn taking_turns(self) -> Self {
        Self { taking_turns: true, ..self }
    }

    /// How many there are; never 0.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Always false: a published run has children.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The index of the child with the highest score, the first of equals; `None` when no child may be
    /// chosen. A score that is NaN never wins.
    #[inline(always)]
    pub fn best(&self, score: impl Fn(&Pair) -> f64x2) -> Option<usize> {
        match self.in_flight {
            None => self.first_best(|pair| score(&self.settled(pair))),
            Some(counts) => self.first_best(|pair| score(&self.unsettled(pair, counts))),
        }
    }

    /// Whether a thread is making more of them ([`super::Tree::claim_widening`]).
    #[must_use]
    pub fn are_claimed(&self) -> bool {
        self.header.is_claimed()
    }

    /// The value net's own opinion of the state above them, in [-1, 1]: the value that the expansion which made them backed
    /// up, before any other was averaged in. None where it was not given ([`super::Tree::set_value`]).
    #[must_use]
    pub fn value(&self) -> Option<f32> {
        self.header.value()
    }

    /// Each child's snapshot, in order.
    pub fn children(&self) -> impl ExactSizeIterator<Item = Child> + '_ {
        self.slots.iter().map(|slot| {
            let pair = match self.in_flight {
                None => self.settled([slot, slot]),
                Some(counts) => self.unsettled([slot, slot], counts),
            };
            let first = |numbers: f64x2| numbers.to_array()[0];
            Child {
                visits: first(pair.visits),
                explored: first(pair.explored),
                value_sum: first(pair.value_sum),
                prior: first(pair.prior),
            }
        })
    }

    #[inline(always)]
    fn first_best(&self, score: impl Fn([&Slot; 2]) -> f64x2) -> Option<usize> {
        let (mut best, mut highest) = (usize::MAX, f64::NEG_INFINITY);
        let mut compare = |index: usize, score: f64| {
            let higher = score > highest;
            if self.taking_turns {
                best = if higher { index } else { best };
                highest = if higher { score } else { highest };
            } else if higher {
                // A branch on purpose, which the optimiser would turn into a conditional move: a foreseen
                // winner lets the processor start on the level below before this one's divisions are done.
                // A hot path costs a third less, and an unforeseen one no more.
                best = std::hint::black_box(index);
                highest = score;
            }
        };
        let (pairs, rest) = self.slots.as_chunks::<2>();
        let mut index = 0;
        for [even, odd] in pairs {
            let scores = score([even, odd]).to_array();
            compare(index, scores[0]);
            compare(index + 1, scores[1]);
            index += 2;
        }
        if let [last] = rest {
            compare(index, score([last, last]).to_array()[0]);
        }
        (best != usize::MAX).then_some(best)
    }

    /// Two children of a tree in which nothing is in flight.
    #[inline(always)]
    fn settled(&self, pair: [&Slot; 2]) -> Pair {
        // Relaxed: a statistic. The prior was written before publication; a NaN that closes a child may
        // be seen late, and the descent then meets the closed node.
        let words = u64x2::new(pair.map(|slot| slot.stats.load(Ordering::Relaxed)));
        let (visits, value_sum) = self.layout.unpack_settled(words);
        Pair { visits, explored: visits, value_sum, prior: priors(pair) }
    }

    #[inline(always)]
    fn unsettled(&self, pair: [&Slot; 2], counts: InFlight) -> Pair {
        // Relaxed: as in `settled`.
        let words = u64x2::new(pair.map(|slot| slot.stats.load(Ordering::Relaxed)));
        let (words, in_flight) = self.layout.split_in_flight(words);
        let (visits, value_sum) = self.layout.unpack_settled(words);
        let losses = in_flight * counts.loss;
        Pair {
            visits: visits + losses,
            explored: visits + in_flight * counts.explored,
            value_sum: value_sum - losses,
            prior: priors(pair),
        }
    }

    /// One of them as a node.
    ///
    /// # Panics
    /// When `index` is not below [`Siblings::len`].
    #[inline]
    #[must_use]
    pub fn node(&self, index: usize) -> Node<'t> {
        Node { slot: &self.slots[index], header: self.header }
    }
}

#[inline(always)]
fn priors(pair: [&Slot; 2]) -> f64x2 {
    f64x2::new(pair.map(|slot| f64::from(f32::from_bits(slot.prior.load(Ordering::Relaxed)))))
}
