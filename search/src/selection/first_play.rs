//! First-play urgency: what a child that was never tried is taken to be worth.

/// The Q of an untried child (Gelly and Wang 2006).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FirstPlayUrgency {
    /// This number, in [-1, 1]. AlphaMath: 0.
    Constant(f64),
    /// The parent's Q less this reduction times the square root of the tried siblings' summed priors, as in
    /// lc0 and KataGo; >= 0.
    BelowParent(f64),
}

impl FirstPlayUrgency {
    /// The Q of an untried child of a parent with mean `parent_q`, `tried` of whose summed priors lie on
    /// tried children.
    #[must_use]
    pub fn q(self, parent_q: f64, tried: f64) -> f64 {
        match self {
            Self::Constant(q) => q,
            Self::BelowParent(reduction) => parent_q - reduction * tried.sqrt(),
        }
    }
}

#[cfg(all(test, not(espalier_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_reduction_grows_with_what_was_tried() {
        assert_eq!(FirstPlayUrgency::Constant(-0.5).q(0.7, 0.9), -0.5);
        let below = FirstPlayUrgency::BelowParent(0.5);
        assert_eq!(below.q(0.7, 0.0), 0.7);
        assert!((below.q(0.7, 0.64) - 0.3).abs() < 1e-15);
    }
}
