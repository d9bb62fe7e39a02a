//! The vectors of many texts in eight bits a value, one after the other, so that all
//! can be compared with a question in the time that it takes to read them.
//!
//! When that is too long, their signs are compared first, an eighth of the bytes: the
//! part of values whose signs differ grows with the angle between two vectors (Charikar,
//! Similarity estimation techniques from rounding algorithms, STOC 2002). What is near
//! by its signs is then compared in full.

use crate::late::{dot, quantised};

/// A row for each text, by its number; one without a vector is far from everything.
#[derive(Debug, Clone, Default)]
pub(crate) struct Texts {
    /// Values of a row; 0 until the first vector.
    width: usize,
    scales: Vec<f32>,
    values: Vec<i8>,
    /// The signs of the values, a bit each; rows are filled up to whole words.
    signs: Vec<u64>,
}

/// How similar texts are to a question.
pub(crate) struct Compared {
    /// Of each, by its number.
    pub(crate) similarities: Vec<f32>,
    /// Those that were compared in full, if not all: the others are given as the farthest of these.
    pub(crate) near: Option<Vec<usize>>,
}

/// Texts that are all compared in full, at most.
const EXACT: usize = 20_000;
/// The part of more texts that is compared in full, and the fewest.
const PART: usize = 20;
const FEWEST: usize = 2_000;

impl Texts {
    /// Adds a text that has no vector yet.
    pub(crate) fn push(&mut self) {
        self.scales.push(0.0);
        self.make_room();
    }

    fn make_room(&mut self) {
        self.values.resize(self.scales.len() * self.width, 0);
        self.signs.resize(self.scales.len() * self.words(), 0);
    }

    /// Words of signs in a row.
    fn words(&self) -> usize {
        self.width.div_ceil(64)
    }

    /// Sets the vector of a text; one of another width than the first is left out.
    pub(crate) fn set(&mut self, number: usize, vector: &[f32]) {
        if self.width == 0 && !vector.is_empty() {
            self.width = vector.len();
            self.make_room();
        }
        if vector.len() != self.width {
            return;
        }
        let row = number * self.width..(number + 1) * self.width;
        let words = number * self.words()..(number + 1) * self.words();
        let (Some(scale), Some(row)) = (self.scales.get_mut(number), self.values.get_mut(row)) else { return };
        if let Some((of_vector, values)) = quantised(vector) {
            *scale = of_vector;
            row.copy_from_slice(&values);
            if let Some(words) = self.signs.get_mut(words) {
                words.copy_from_slice(&signs(&values));
            }
        }
    }

    /// The similarity of each text with a question, from −1 to 1.
    pub(crate) fn compare(&self, question: &[f32]) -> Compared {
        self.compare_beyond(question, EXACT)
    }

    fn compare_beyond(&self, question: &[f32], exact: usize) -> Compared {
        let count = self.scales.len();
        let asked = if count <= exact || question.len() != self.width { None } else { quantised(question) };
        let Some((scale, asked)) = asked else {
            return Compared { similarities: self.compare_all(question), near: None };
        };
        let of_question = signs(&asked);
        let differing = |row: &[u64]| row.iter().zip(&of_question).map(|(one, other)| (one ^ other).count_ones()).sum();
        let distances: Vec<u32> = self.signs.chunks_exact(self.words()).map(differing).collect();
        let near = nearest(&distances, self.words() * 64, (count / PART).max(FEWEST));
        let similarity = |number: &usize| {
            let row = &self.values[number * self.width..(number + 1) * self.width];
            dot(&asked, row) as f32 * self.scales[*number] * scale
        };
        let similarities: Vec<f32> = near.iter().map(similarity).collect();
        let farthest = similarities.iter().copied().fold(f32::INFINITY, f32::min);
        let mut all = vec![farthest; count];
        for (number, similarity) in near.iter().zip(similarities) {
            all[*number] = similarity;
        }
        Compared { similarities: all, near: Some(near) }
    }

    fn compare_all(&self, question: &[f32]) -> Vec<f32> {
        let asked = if question.len() == self.width { quantised(question) } else { None };
        let Some((scale, asked)) = asked else { return vec![0.0; self.scales.len()] };
        let rows = self.values.chunks_exact(self.width).zip(&self.scales);
        rows.map(|(row, of_row)| dot(&asked, row) as f32 * of_row * scale).collect()
    }
}

/// The numbers of the smallest distances, so many; of equal ones the older first. There
/// are few distances and many numbers: they are counted, not sorted.
fn nearest(distances: &[u32], farthest: usize, count: usize) -> Vec<usize> {
    let mut having = vec![0; farthest + 1];
    for distance in distances {
        having[*distance as usize] += 1;
    }
    let (mut last, mut nearer) = (0, 0);
    while last < farthest && nearer + having[last] < count {
        nearer += having[last];
        last += 1;
    }
    let mut at_last = count - nearer;
    let mut near = Vec::with_capacity(count);
    for (number, distance) in distances.iter().enumerate() {
        let is_at_last = *distance as usize == last;
        if (*distance as usize) < last || (is_at_last && at_last > 0) {
            at_last -= usize::from(is_at_last);
            near.push(number);
        }
    }
    near
}

/// The signs of values, a bit each, from the lowest on.
fn signs(values: &[i8]) -> Vec<u64> {
    let word = |values: &[i8]| values.iter().rev().fold(0, |word, value| word << 1 | u64::from(*value < 0));
    values.chunks(64).map(word).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cosine;

    fn unit(vector: &[f32]) -> Vec<f32> {
        let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
        vector.iter().map(|value| value / length).collect()
    }

    proptest! {
        #[test]
        fn eight_bits_lose_little(
            vectors in proptest::collection::vec(proptest::collection::vec(-1.0f32..1.0, 16), 2..6)
        ) {
            prop_assume!(vectors.iter().all(|vector| cosine(vector, vector) > 0.01));
            let vectors: Vec<_> = vectors.iter().map(|vector| unit(vector)).collect();
            let mut texts = Texts::default();
            for (vector, number) in vectors.iter().zip(0..) {
                texts.push();
                texts.set(number, vector);
            }
            for (found, vector) in texts.compare(&vectors[0]).similarities.iter().zip(&vectors) {
                prop_assert!((found - cosine(&vectors[0], vector)).abs() < 0.02);
            }
        }
    }

    /// Vectors around topics, as those of texts are.
    fn around_topics(count: usize, width: usize) -> Vec<Vec<f32>> {
        let mut random = 88_172_645_463_325_252_u64;
        let mut value = move || {
            // Xorshift (Marsaglia, 2003): the same vectors in each run.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random >> 40) as f32 / (1 << 24) as f32 - 0.5
        };
        let topics: Vec<Vec<f32>> = (0..40).map(|_| (0..width).map(|_| value()).collect()).collect();
        let near = |number: usize| topics[number % topics.len()].clone();
        (0..count)
            .map(|number| unit(&near(number).iter().map(|of_topic| of_topic + value()).collect::<Vec<_>>()))
            .collect()
    }

    #[test]
    fn of_very_many_the_nearest_are_found_by_their_signs() {
        let vectors = around_topics(6_000, 200);
        let mut texts = Texts::default();
        for (vector, number) in vectors.iter().zip(0..) {
            texts.push();
            texts.set(number, vector);
        }
        let best = |similarities: &[f32]| {
            let mut order: Vec<usize> = (0..similarities.len()).collect();
            order.sort_by(|one, other| similarities[*other].total_cmp(&similarities[*one]));
            order[..20].to_vec()
        };
        let mut found = 0;
        for question in &vectors[..50] {
            let (all, quick) = (texts.compare_all(question), texts.compare_beyond(question, 100).similarities);
            let wanted = best(&all);
            found += best(&quick).iter().filter(|number| wanted.contains(number)).count();
            // What was looked at has its own similarity, and the rest is no nearer.
            let farthest = quick.iter().copied().fold(f32::INFINITY, f32::min);
            assert!(quick.iter().zip(&all).all(|(quick, all)| quick == all || *quick == farthest));
        }
        assert!(found >= 990, "{found} of 1000");
    }

    proptest! {
        #[test]
        fn the_nearest_are_the_smallest(distances in proptest::collection::vec(0u32..9, 0..60), count in 0usize..70) {
            let mut expected: Vec<usize> = (0..distances.len()).collect();
            expected.sort_by_key(|number| (distances[*number], *number));
            expected.truncate(count);
            expected.sort_unstable();
            prop_assert_eq!(nearest(&distances, 64, count), expected);
        }
    }

    #[test]
    fn what_has_no_vector_or_another_models_is_far_from_everything() {
        let mut texts = Texts::default();
        (0..4).for_each(|_| texts.push());
        texts.set(1, &[1.0, 0.0]);
        texts.set(2, &[1.0, 0.0, 0.0]);
        texts.set(9, &[1.0, 0.0]);
        texts.push();
        assert_eq!(texts.compare(&[1.0, 0.0]).similarities, [0.0, 1.0, 0.0, 0.0, 0.0]);
        assert_eq!(texts.compare(&[1.0]).similarities, [0.0; 5]);
    }
}
