//! How memories fade and grow: FSRS-6 with its default weights.
//!
//! Formulas and weights: Free Spaced Repetition Scheduler, "The Algorithm"
//! (github.com/open-spaced-repetition/awesome-fsrs/wiki/The-Algorithm). The tests
//! hold the vectors that its reference implementations share.

/// The default weights of FSRS-6, w0 to w20.
pub const WEIGHTS: [f64; 21] = [
    0.212, 1.2931, 2.3065, 8.2956, 6.4133, 0.8334, 3.0194, 0.001, 1.8722, 0.1666, 0.796, 1.4835, 0.0614, 0.2629,
    1.6483, 0.6014, 1.8729, 0.5425, 0.0912, 0.0658, 0.1542,
];

/// Shortest and longest stability, in days.
const STABILITY: (f64, f64) = (0.1, 36_500.0);

/// How well something was remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grade {
    Again = 1,
    Hard = 2,
    Good = 3,
    Easy = 4,
}

impl Grade {
    fn number(self) -> f64 {
        f64::from(self as u8)
    }
}

/// What FSRS knows of one memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Memory {
    /// Days until the chance to recall it has fallen to 90 %.
    pub stability: f64,
    /// From 1 to 10.
    pub difficulty: f64,
}

impl Default for Memory {
    /// A memory that nothing was graded of yet.
    fn default() -> Self {
        Self { stability: 1.0, difficulty: 5.0 }
    }
}

impl Memory {
    /// A memory after its first grade.
    pub fn first(grade: Grade) -> Self {
        Self { stability: WEIGHTS[grade as usize - 1], difficulty: first_difficulty(grade).clamp(1.0, 10.0) }
    }

    /// The chance to recall it after so many days.
    pub fn retrievability(self, days: f64) -> f64 {
        let factor = 0.9_f64.powf(-1.0 / WEIGHTS[20]) - 1.0;
        (1.0 + factor * days.max(0.0) / self.stability).powf(-WEIGHTS[20])
    }

    /// The memory after it was graded, so many days after the last time.
    pub fn graded(self, days: f64, grade: Grade) -> Self {
        let stability = match grade {
            _ if days < 1.0 => self.same_day(grade),
            Grade::Again => self.lapsed(days),
            Grade::Hard | Grade::Good | Grade::Easy => self.recalled(days, grade),
        };
        Self { stability: stability.clamp(STABILITY.0, STABILITY.1), difficulty: self.next_difficulty(grade) }
    }

    fn next_difficulty(self, grade: Grade) -> f64 {
        let change = -WEIGHTS[6] * (grade.number() - 3.0);
        let damped = self.difficulty + change * (10.0 - self.difficulty) / 9.0;
        let reverted = WEIGHTS[7] * first_difficulty(Grade::Easy) + (1.0 - WEIGHTS[7]) * damped;
        reverted.clamp(1.0, 10.0)
    }

    fn recalled(self, days: f64, grade: Grade) -> f64 {
        let hard = if grade == Grade::Hard { WEIGHTS[15] } else { 1.0 };
        let easy = if grade == Grade::Easy { WEIGHTS[16] } else { 1.0 };
        let forgotten = (WEIGHTS[10] * (1.0 - self.retrievability(days))).exp() - 1.0;
        let growth = WEIGHTS[8].exp() * (11.0 - self.difficulty) * self.stability.powf(-WEIGHTS[9]) * forgotten;
        self.stability * (1.0 + growth * hard * easy)
    }

    fn lapsed(self, days: f64) -> f64 {
        let relearnt = WEIGHTS[11]
            * self.difficulty.powf(-WEIGHTS[12])
            * ((self.stability + 1.0).powf(WEIGHTS[13]) - 1.0)
            * (WEIGHTS[14] * (1.0 - self.retrievability(days))).exp();
        // No better than forgetting it on the same day.
        relearnt.min(self.stability / (WEIGHTS[17] * WEIGHTS[18]).exp())
    }

    fn same_day(self, grade: Grade) -> f64 {
        let growth = (WEIGHTS[17] * (grade.number() - 3.0 + WEIGHTS[18])).exp() * self.stability.powf(-WEIGHTS[19]);
        let growth = if matches!(grade, Grade::Good | Grade::Easy) { growth.max(1.0) } else { growth };
        self.stability * growth
    }
}

fn first_difficulty(grade: Grade) -> f64 {
    WEIGHTS[4] - (WEIGHTS[5] * (grade.number() - 1.0)).exp() + 1.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Grade::{Again, Easy, Good, Hard};
    use super::*;

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-4, "{found} is not {expected}");
    }

    /// "test_memory_state" of fsrs-rs, py-fsrs and ts-fsrs.
    #[test]
    fn memory_state_is_that_of_the_references() {
        let mut memory = Memory::first(Again);
        for (grade, days) in [(Good, 0.0), (Good, 1.0), (Good, 3.0), (Good, 8.0), (Good, 21.0)] {
            memory = memory.graded(days, grade);
        }
        near(memory.stability, 53.62691);
        near(memory.difficulty, 6.3574867);
    }

    /// "test_review_card" of py-fsrs 6: intervals in days at 90 %, where 0 is one
    /// of the minutes that its learning steps take.
    #[test]
    fn intervals_are_those_of_the_references() {
        let mut memory = Memory::first(Good);
        let mut intervals = vec![0];
        let mut days = 0.0;
        for (place, grade) in
            [Good, Good, Good, Good, Good, Again, Again, Good, Good, Good, Good, Good].iter().enumerate()
        {
            memory = memory.graded(days, *grade);
            days = if matches!(place, 5 | 6) { 0.0 } else { memory.stability.round().max(1.0) };
            intervals.push(days as i64);
        }
        assert_eq!(intervals, [0, 2, 11, 46, 163, 498, 0, 0, 2, 4, 7, 12, 21]);
    }

    #[test]
    fn first_grades_are_those_of_the_references() {
        for (grade, stability, difficulty) in
            [(Again, 0.212, 6.4133), (Hard, 1.2931, 5.1121707), (Good, 2.3065, 2.118104), (Easy, 8.2956, 1.0)]
        {
            let memory = Memory::first(grade);
            near(memory.stability, stability);
            near(memory.difficulty, difficulty);
        }
    }

    proptest! {
        #[test]
        fn better_grades_never_make_a_memory_weaker_or_harder(
            stability in 0.1..1000.0_f64, difficulty in 1.0..10.0_f64, days in 0.0..2000.0_f64
        ) {
            let memory = Memory { stability, difficulty };
            let after = [Again, Hard, Good, Easy].map(|grade| memory.graded(days, grade));
            for pair in after.windows(2) {
                prop_assert!(pair[0].stability <= pair[1].stability + 1e-9);
                prop_assert!(pair[0].difficulty + 1e-9 >= pair[1].difficulty);
            }
            prop_assert!(after[2].stability + 1e-9 >= stability, "what was recalled is never weaker");
            prop_assert!(after.iter().all(|memory| (1.0..=10.0).contains(&memory.difficulty)));
        }

        #[test]
        fn recall_fades_from_one_through_ninety_per_cent(stability in 0.1..1000.0_f64, days in 0.0..1000.0_f64) {
            let memory = Memory { stability, difficulty: 5.0 };
            prop_assert!((memory.retrievability(0.0) - 1.0).abs() < 1e-9);
            prop_assert!((memory.retrievability(stability) - 0.9).abs() < 1e-9);
            prop_assert!(memory.retrievability(days) >= memory.retrievability(days + 1.0));
        }
    }
}
