//! Learning rate by step: linear warm-up, then a cosine down to a floor.

/// A learning-rate schedule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// Highest learning rate.
    pub peak: f64,
    /// Lowest learning rate after the warm-up.
    pub floor: f64,
    /// Steps of warm-up.
    pub warmup: usize,
    /// All steps, the warm-up included.
    pub total: usize,
}

impl Schedule {
    /// Learning rate of a step, counted from 0. Step `warmup` has the peak, step `total` would have the floor.
    #[must_use]
    pub fn at(&self, step: usize) -> f64 {
        if step < self.warmup {
            return self.peak * (step + 1) as f64 / (self.warmup + 1) as f64;
        }
        let span = self.total.saturating_sub(self.warmup).max(1);
        let done = ((step - self.warmup) as f64 / span as f64).min(1.0);
        let cosine = f64::midpoint(1.0, (std::f64::consts::PI * done).cos());
        self.floor + (self.peak - self.floor) * cosine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warms_up_then_falls_to_the_floor() {
        let schedule = Schedule { peak: 1.0, floor: 0.1, warmup: 3, total: 13 };
        let close = |step, rate: f64| {
            assert!((schedule.at(step) - rate).abs() < 1e-12, "step {step}: {}", schedule.at(step));
        };
        close(0, 0.25);
        close(2, 0.75);
        close(3, 1.0);
        close(8, 0.55);
        close(13, 0.1);
        close(99, 0.1);
    }

    #[test]
    fn never_divides_by_zero() {
        let schedule = Schedule { peak: 1.0, floor: 0.0, warmup: 0, total: 0 };
        assert_eq!(schedule.at(0), 1.0);
    }
}
