//! Planning with Gumbel (Danihelka et al. 2022, "Policy improvement by planning with Gumbel").
//!
//! At the root a few children are drawn without replacement by Gumbel noise on their log-priors, and sequential
//! halving shares the simulations out among them; below it, visits follow an improved policy. A child that was never
//! tried has the mixed value of its parent (eq. 33), which begins from the value net's own opinion of the parent.
//!
//! Where children are a node's distinct actions and none ends its path, the visits are those of mctx's
//! `gumbel_muzero_policy` (`tests/search/gumbel.rs` holds them against trees that mctx grew). Of its two scalings of Q,
//! `normalise_q` is mctx's default (the completed Q of siblings onto [0, 1]); without it Q goes from [-1, 1] to [0, 1],
//! which for a weight `c_scale` is mctx's plain Q under half its `value_scale`. By intention the search differs in this:
//! * Children are steps *sampled* from the policy. Siblings of equal text stay apart unless `remove_duplicate` merges
//!   them, each with the prior of its text, so that a text's weight in the improved policy is its prior times its copies.
//! * A child below which nothing is left to search is closed: it takes no further turn, its turns at the root go to the
//!   open children with fewest, and its Q counts neither in the mixed value nor in the range of `normalise_q`, for
//!   selection keeps no prior of it.
//! * The answer is read off by [`crate::AnswerRule`], not by the root's final scores.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Gumbel};
use serde::{Deserialize, Serialize};

use super::rules::{NodeRule, RuleContext, RuleSet};
use super::scored::{Children, normalise};
use super::{Rule, first_best};
use crate::error::ConfigError;
use crate::seed::{derive_seed, stream};
use crate::sync::{AtomicU64, OnceLock, Ordering};
use crate::tree::{Child, Entered, Siblings};

/// Settings of the rule `gumbel`. The defaults are the paper's for Go and chess.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GumbelConfig {
    /// Most children of the root that are looked at (m), >= 1.
    pub considered: usize,
    /// Scale of the Gumbel noise, >= 0; 0 takes the likeliest children.
    pub noise: f64,
    /// What a value's weight starts from, >= 0.
    pub c_visit: f64,
    /// Weight of a value, >= 0.
    pub c_scale: f64,
}

impl Default for GumbelConfig {
    fn default() -> Self {
        Self { considered: 16, noise: 1.0, c_visit: 50.0, c_scale: 1.0 }
    }
}

impl GumbelConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let check = ConfigError::require;
        let considered = "must be >= 1";
        check(self.considered >= 1, "selection.gumbel.considered", &self.considered, considered)?;
        for (field, value) in [
            ("selection.gumbel.noise", self.noise),
            ("selection.gumbel.c_visit", self.c_visit),
            ("selection.gumbel.c_scale", self.c_scale),
        ] {
            ConfigError::require_not_negative(field, value)?;
        }
        Ok(())
    }
}

/// Sequential halving at the root, the improved policy below it.
pub(super) fn build(context: &RuleContext<'_>) -> RuleSet {
    let RuleContext { selection, simulations, seed, .. } = *context;
    let policy = ImprovedPolicy { config: selection.gumbel, normalise_q: selection.normalise_q };
    let seed = derive_seed(seed, stream::GUMBEL);
    RuleSet {
        root: NodeRule::Other(Box::new(GumbelRoot::new(policy, simulations, seed))),
        interior: NodeRule::Other(Box::new(GumbelInterior(policy))),
    }
}

/// The policy that the search's values improve on the priors: the softmax of `ln P + sigma(q)` (eq. 11).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ImprovedPolicy {
    /// How much a value weighs.
    pub config: GumbelConfig,
    /// Whether the completed Q of siblings is mapped onto [0, 1] by their least and greatest instead of from [-1, 1].
    pub normalise_q: bool,
}

impl ImprovedPolicy {
    /// `ln P + sigma(q)` of each child, `sigma(q) = (c_visit + max N) c_scale q` (eq. 8), an untried child's `q` the
    /// mixed value of its parent, whose net value is `value`; NaN where closed.
    #[must_use]
    pub fn logits(&self, value: f64, children: &[Child]) -> Vec<f64> {
        let most = children.iter().map(|child| child.visits).fold(0.0, f64::max);
        let weight = (self.config.c_visit + most) * self.config.c_scale;
        let completed = mixed_value(value, children);
        // A closed child's prior is NaN, and so is then its Q.
        let q = |child: &Child| child.q().unwrap_or(completed) + 0.0 * child.prior;
        let mut q: Vec<f64> = children.iter().map(q).collect();
        if self.normalise_q {
            normalise(&mut q, None);
        } else {
            q.iter_mut().for_each(|q| *q = (*q + 1.0) / 2.0);
        }
        for (q, child) in q.iter_mut().zip(children) {
            *q = child.prior.max(f64::MIN_POSITIVE).ln() + weight * *q;
        }
        q
    }
}

/// The net's own value of a node, its mean where that was not given.
fn net_value(parent: &Entered<'_>, siblings: Siblings<'_>) -> f64 {
    siblings.value().map_or_else(|| parent.q(), f64::from)
}

/// `(v + sum N / sum_tried P * sum_tried P q) / (1 + sum N)` over open children (eq. 33).
fn mixed_value(value: f64, children: &[Child]) -> f64 {
    let tried = || children.iter().filter(|child| !child.is_closed() && child.visits > 0.0);
    let prior: f64 = tried().map(|child| child.prior).sum();
    if prior <= 0.0 {
        return value;
    }
    let visits: f64 = tried().map(|child| child.visits).sum();
    let weighted: f64 = tried().filter_map(|child| Some(child.prior * child.q()?)).sum();
    (value + visits * weighted / prior) / (1.0 + visits)
}

/// Below the root: the child whose share of visits is furthest behind the improved policy (eq. 14).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GumbelInterior(pub ImprovedPolicy);

impl GumbelInterior {
    /// `pi'(a) - N(a) / (1 + sum N)`, `pi'` the softmax of the improved logits over open children; NaN
    /// where closed.
    #[must_use]
    pub fn scores(&self, value: f64, children: &[Child]) -> Vec<f64> {
        let mut scores = self.0.logits(value, children);
        let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        scores.iter_mut().for_each(|logit| *logit = (*logit - highest).exp());
        let total: f64 = scores.iter().filter(|share| !share.is_nan()).sum();
        let open = children.iter().filter(|child| !child.is_closed());
        let visits: f64 = open.map(|child| child.explored).sum();
        for (score, child) in scores.iter_mut().zip(children) {
            *score = *score / total - child.explored / (1.0 + visits);
        }
        scores
    }
}

impl Rule for GumbelInterior {
    fn choose(&self, parent: &Entered<'_>, siblings: Siblings<'_>) -> Option<usize> {
        let children: Children = siblings.children().collect();
        first_best(self.scores(net_value(parent, siblings), &children))
    }
}

/// At the root of one search: sequential halving over descents. A descent that met another worker's leaf counts,
/// too, so that with one worker alone the schedule is exact.
#[derive(Debug)]
pub struct GumbelRoot {
    policy: ImprovedPolicy,
    simulations: u64,
    noise: Noise,
    state: OnceLock<RootState>,
}

/// Where the root's Gumbel noise is from.
#[derive(Debug)]
enum Noise {
    Drawn { seed: u64 },
    Given(Vec<f64>),
}

#[derive(Debug)]
struct RootState {
    noise: Vec<f64>,
    descents: Vec<AtomicU64>,
    schedule: Vec<u64>,
}

impl GumbelRoot {
    /// For a search of `simulations`, the root's own included.
    #[must_use]
    pub fn new(policy: ImprovedPolicy, simulations: u64, seed: u64) -> Self {
        Self { policy, simulations, noise: Noise::Drawn { seed }, state: OnceLock::new() }
    }

    /// As [`GumbelRoot::new`], with the noise of each child given instead of drawn.
    #[must_use]
    pub fn with_noise(policy: ImprovedPolicy, simulations: u64, noise: Vec<f64>) -> Self {
        Self { policy, simulations, noise: Noise::Given(noise), state: OnceLock::new() }
    }

    fn state(&self, children: usize) -> &RootState {
        let considered = self.policy.config.considered.min(children);
        self.state.get_or_init(|| RootState {
            noise: self.noise(children),
            descents: (0..children).map(|_| AtomicU64::new(0)).collect(),
            schedule: schedule(considered, self.simulations.saturating_sub(1)),
        })
    }

    fn noise(&self, children: usize) -> Vec<f64> {
        match &self.noise {
            Noise::Given(noise) => noise.clone(),
            Noise::Drawn { seed } => {
                let mut rng = ChaCha8Rng::seed_from_u64(*seed);
                let standard = Gumbel::new(0.0, 1.0).ok();
                let scale = self.policy.config.noise;
                let mut draw = || standard.map_or(0.0, |gumbel| scale * gumbel.sample(&mut rng));
                (0..children).map(|_| draw()).collect()
            }
        }
    }
}

impl Rule for GumbelRoot {
    fn choose(&self, parent: &Entered<'_>, siblings: Siblings<'_>) -> Option<usize> {
        let children: Children = siblings.children().collect();
        let state = self.state(children.len());
        // Relaxed: counts that only order further choices.
        let descents: Vec<u64> =
            state.descents.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let taken = descents.iter().sum::<u64>() as usize;
        let wanted = state.schedule.get(taken).copied();
        let mut scores = self.policy.logits(net_value(parent, siblings), &children);
        scores.iter_mut().zip(&state.noise).for_each(|(score, noise)| *score += noise);
        let among = |count: u64| {
            let fits = |(index, score): (usize, &f64)| {
                if descents[index] == count { *score } else { f64::NAN }
            };
            first_best(scores.iter().enumerate().map(fits))
        };
        // A child of the schedule may be exhausted: its turns go to the open ones with fewest.
        let open = || scores.iter().zip(&descents).filter(|(score, _)| !score.is_nan());
        let chosen =
            wanted.and_then(among).or_else(|| among(*open().map(|(_, count)| count).min()?))?;
        state.descents[chosen].fetch_add(1, Ordering::Relaxed);
        Some(chosen)
    }

    fn can_continue(&self) -> bool {
        false
    }
}

/// Of each simulation, how often the child that it goes to has been descended into before: sequential halving
/// (Karnin et al. 2013) of `considered` children, at least two to the end, over `simulations`. In each of the
/// `ceil(log2 considered)` phases the children still in get equal turns, at least one each.
fn schedule(considered: usize, simulations: u64) -> Vec<u64> {
    let total = simulations as usize;
    if considered <= 1 {
        return (0..simulations).collect();
    }
    let phases = considered.next_power_of_two().ilog2() as usize;
    let mut turns = Vec::with_capacity(total + considered);
    let (mut left, mut visits) = (considered, 0);
    while turns.len() < total {
        for _ in 0..(total / (phases * left)).max(1) {
            turns.extend(std::iter::repeat_n(visits, left));
            visits += 1;
        }
        left = (left / 2).max(2);
    }
    turns.truncate(total);
    turns
}

#[cfg(all(test, not(espalier_loom)))]
mod tests {
    use super::*;

    fn child(visits: f64, q: f64, prior: f64) -> Child {
        Child { visits, explored: visits, value_sum: q * visits, prior }
    }

    #[test]
    fn halving_gives_each_phase_its_turns() {
        // 16 simulations over 4 children in 2 phases: 2 turns for each of 4, then 4 for each of 2.
        let expected = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5];
        assert_eq!(schedule(4, 16), expected);
        assert_eq!(schedule(1, 3), [0, 1, 2]);
        // Fewer simulations than children: one turn for the first ones.
        assert_eq!(schedule(8, 3), [0, 0, 0]);
        assert_eq!(schedule(5, 0), [] as [u64; 0]);
    }

    #[test]
    fn the_improved_policy_weighs_value_against_prior() {
        let config = GumbelConfig { c_visit: 1.0, c_scale: 1.0, ..GumbelConfig::default() };
        let policy = ImprovedPolicy { config, normalise_q: false };
        let children = [child(1.0, 0.5, 0.25), child(0.0, 0.0, 0.5), child(4.0, 1.0, f64::NAN)];
        // sigma(q) = (1 + 4)(q + 1) / 2; the untried child has (0.1 + 1 * 0.5) / 2 = 0.3.
        let logits = policy.logits(0.1, &children);
        assert!((logits[0] - (0.25_f64.ln() + 5.0 * 0.75)).abs() < 1e-12);
        assert!((logits[1] - (0.5_f64.ln() + 5.0 * 0.65)).abs() < 1e-12);
        assert!(logits[2].is_nan());
        let scores = GumbelInterior(policy).scores(0.1, &children);
        let share = 1.0 / (1.0 + (logits[0] - logits[1]).exp());
        assert!((scores[1] - share).abs() < 1e-12);
        assert!((scores[0] - (1.0 - share - 0.5)).abs() < 1e-12);
        assert_eq!(first_best(scores), Some(1));
        // From 0.3 to 0.5 onto [0, 1]: the tried child gets the whole weight, the untried one none.
        let logits = ImprovedPolicy { config, normalise_q: true }.logits(0.1, &children);
        assert!((logits[0] - (0.25_f64.ln() + 5.0)).abs() < 1e-12);
        assert!((logits[1] - 0.5_f64.ln()).abs() < 1e-12 && logits[2].is_nan());
    }
}
