//! The vectors of many texts in eight bits a value, one after the other, so that all
//! can be compared with a question in the time that it takes to read them.

use crate::late::{dot, quantised};

/// A row for each text, by its number; one without a vector is far from everything.
#[derive(Debug, Clone, Default)]
pub(crate) struct Texts {
    /// Values of a row; 0 until the first vector.
    width: usize,
    scales: Vec<f32>,
    values: Vec<i8>,
}

impl Texts {
    /// Adds a text that has no vector yet.
    pub(crate) fn push(&mut self) {
        self.scales.push(0.0);
        self.values.resize(self.scales.len() * self.width, 0);
    }

    /// Sets the vector of a text; one of another width than the first is left out.
    pub(crate) fn set(&mut self, number: usize, vector: &[f32]) {
        if self.width == 0 && !vector.is_empty() {
            self.width = vector.len();
            self.values.resize(self.scales.len() * self.width, 0);
        }
        if vector.len() != self.width {
            return;
        }
        let row = number * self.width..(number + 1) * self.width;
        let (Some(scale), Some(row)) = (self.scales.get_mut(number), self.values.get_mut(row)) else { return };
        if let Some((of_vector, values)) = quantised(vector) {
            *scale = of_vector;
            row.copy_from_slice(&values);
        }
    }

    /// The similarity of each text with a question, from −1 to 1.
    pub(crate) fn compare(&self, question: &[f32]) -> Vec<f32> {
        let asked = if question.len() == self.width { quantised(question) } else { None };
        let Some((scale, asked)) = asked else { return vec![0.0; self.scales.len()] };
        let rows = self.values.chunks_exact(self.width).zip(&self.scales);
        rows.map(|(row, of_row)| dot(&asked, row) as f32 * of_row * scale).collect()
    }
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
            for (found, vector) in texts.compare(&vectors[0]).iter().zip(&vectors) {
                prop_assert!((found - cosine(&vectors[0], vector)).abs() < 0.02);
            }
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
        assert_eq!(texts.compare(&[1.0, 0.0]), [0.0, 1.0, 0.0, 0.0, 0.0]);
        assert_eq!(texts.compare(&[1.0]), [0.0; 5]);
    }
}
