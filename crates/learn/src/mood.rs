//! How a conversation felt to a person, by what they wrote: VADER (Hutto and Gilbert,
//! "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text",
//! ICWSM 2014). It knows English alone.

use std::sync::LazyLock;

use vader_parity::SentimentIntensityAnalyzer;

/// Longest part of a message that is read, in bytes.
const TEXT_BYTES: usize = 4000;
/// Messages at either end that are compared.
const ENDS: usize = 3;
/// The variance from which a conversation went up and down.
const VOLATILE: f64 = 0.3;
/// The difference of its ends from which it went somewhere.
const WENT: f64 = 0.2;
/// From here on a mood is good, and below its negative bad.
const GOOD: f64 = 0.3;

static VADER: LazyLock<SentimentIntensityAnalyzer> = LazyLock::new(SentimentIntensityAnalyzer::new);

/// How a mood went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    Stable,
    Volatile,
    Improving,
    Declining,
}

impl Course {
    pub const ALL: [Self; 4] = [Self::Stable, Self::Volatile, Self::Improving, Self::Declining];

    /// Its name where it is kept.
    pub fn as_str(self) -> &'static str {
        match self {
            Course::Stable => "stable",
            Course::Volatile => "volatile",
            Course::Improving => "improving",
            Course::Declining => "declining",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|course| course.as_str() == name)
    }
}

/// How a conversation felt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mood {
    pub course: Course,
    /// From −1, bad, to 1, good.
    pub average: f64,
}

impl Mood {
    /// In words, such as "good, declining".
    pub fn words(&self) -> String {
        let feeling = match self.average {
            average if average >= GOOD => "good",
            average if average <= -GOOD => "bad",
            _ => "even",
        };
        match self.course {
            Course::Stable => feeling.to_owned(),
            course => format!("{feeling}, {}", course.as_str()),
        }
    }
}

/// How a text feels, from −1 to 1.
pub fn feeling(text: &str) -> f64 {
    VADER.polarity_scores(&text[..text.floor_char_boundary(TEXT_BYTES)]).compound.clamp(-1.0, 1.0)
}

/// How a conversation felt by its messages in their order; none of less than three.
pub fn mood(feelings: &[f64]) -> Option<Mood> {
    if feelings.len() < ENDS {
        return None;
    }
    let mean = |some: &[f64]| some.iter().sum::<f64>() / some.len() as f64;
    let average = mean(feelings);
    let variance = feelings.iter().map(|feeling| (feeling - average).powi(2)).sum::<f64>() / feelings.len() as f64;
    let went = mean(&feelings[feelings.len() - ENDS..]) - mean(&feelings[..ENDS]);
    let course = match (variance, went) {
        (variance, _) if variance > VOLATILE => Course::Volatile,
        (_, went) if went > WENT => Course::Improving,
        (_, went) if went < -WENT => Course::Declining,
        _ => Course::Stable,
    };
    Some(Mood { course, average })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_feel_as_they_read() {
        assert!(feeling("I am so happy, what a wonderful day!") > GOOD);
        assert!(feeling("This is terrible, I hate it and I am sad.") < -GOOD);
        assert_eq!(feeling("The train leaves at nine."), 0.0);
    }

    #[test]
    fn conversations_go_somewhere_or_up_and_down() {
        let words = |feelings: &[f64]| mood(feelings).map(|mood| mood.words()).unwrap_or_default();
        assert_eq!(words(&[-0.5, -0.4, 0.0, 0.3, 0.4, 0.5]), "even, improving");
        assert_eq!(words(&[0.9, 0.8, 0.4, 0.4, 0.3, 0.2]), "good, declining");
        assert_eq!(words(&[-0.9, 0.9, -0.9, 0.9]), "even, volatile");
        assert_eq!(words(&[-0.5, -0.5, -0.5]), "bad");
        assert_eq!(words(&[0.5, 0.5]), "", "two messages say nothing");
    }

    proptest! {
        #[test]
        fn any_text_has_a_feeling(text in ".{0,200}") {
            prop_assert!((-1.0..=1.0).contains(&feeling(&text)));
        }

        #[test]
        fn names_lead_back(feelings in proptest::collection::vec(-1.0..1.0f64, 3..20)) {
            let mood = mood(&feelings).unwrap();
            prop_assert_eq!(Course::parse(mood.course.as_str()), Some(mood.course));
            prop_assert!((-1.0..=1.0).contains(&mood.average));
        }
    }
}
