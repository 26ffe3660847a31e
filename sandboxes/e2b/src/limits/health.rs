//! How well calls to E2B do lately.

/// The share of calls that did well, the latest weighing most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Health(f64);

/// What one call weighs: about the last twenty matter.
const WEIGHT: f64 = 0.1;

impl Health {
    /// Nothing has failed yet.
    pub(crate) fn full() -> Self {
        Self(1.0)
    }

    pub(crate) fn succeeded(&mut self) {
        self.0 += WEIGHT * (1.0 - self.0);
    }

    pub(crate) fn failed(&mut self) {
        self.0 -= WEIGHT * self.0;
    }

    /// From 0 to 1.
    pub(crate) fn share(self) -> f64 {
        self.0
    }

    /// From 0 to 100.
    pub(crate) fn percent(self) -> u8 {
        // A float as an integer saturates.
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
    fn one_more_failure_anywhere_in_a_story_never_makes_it_better() {
        for story in 0u16..1 << 10 {
            for worse in 0..10 {
                let tell = |story: u16| {
                    let mut health = Health::full();
                    (0..10).for_each(|call| if story >> call & 1 == 1 { health.failed() } else { health.succeeded() });
                    health.share()
                };
                assert!(tell(story | 1 << worse) <= tell(story));
            }
        }
    }
}
