//! The share of recent calls to E2B that succeeded.

/// An exponential moving average of successes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Health(f64);

/// The weight of one call: about the last twenty matter.
const WEIGHT: f64 = 0.1;

impl Health {
    /// Returns the health of an account without failures.
    pub(crate) fn full() -> Self {
        Self(1.0)
    }

    pub(crate) fn succeeded(&mut self) {
        self.0 += WEIGHT * (1.0 - self.0);
    }

    pub(crate) fn failed(&mut self) {
        self.0 -= WEIGHT * self.0;
    }

    /// Returns the share, from 0 to 1.
    pub(crate) fn share(self) -> f64 {
        self.0
    }

    /// Returns the percentage, from 0 to 100.
    pub(crate) fn percent(self) -> u8 {
        // The conversion saturates.
        (self.0 * 100.0).round() as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_falls_with_every_failure_and_rises_with_every_success() {
        let mut health = Health::full();
        let falling: Vec<_> = (0..60)
            .map(|_| {
                health.failed();
                health.percent()
            })
            .collect();
        assert!(falling.is_sorted_by(|before, after| before >= after), "{falling:?}");
        assert_eq!((falling[0], falling[59]), (90, 0));
        for _ in 0..60 {
            let before = health.share();
            health.succeeded();
            assert!(health.share() > before);
        }
        assert_eq!(health.percent(), 100);
    }

    #[test]
    fn one_more_failure_anywhere_in_a_sequence_never_improves_it() {
        for sequence in 0u16..1 << 10 {
            for worse in 0..10 {
                let share = |sequence: u16| {
                    let mut health = Health::full();
                    (0..10)
                        .for_each(|call| if sequence >> call & 1 == 1 { health.failed() } else { health.succeeded() });
                    health.share()
                };
                assert!(share(sequence | 1 << worse) <= share(sequence));
            }
        }
    }
}
