//! How well a text answers another by the vectors of their words: late
//! interaction, the sum over the question's words of the best similarity to a
//! word of the text (MaxSim; Khattab and Zaharia, "ColBERT", SIGIR 2020). Here
//! each word counts by its rarity, and vectors are kept in eight bits.

/// What a model makes of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// Of the whole text, of length 1.
    pub text: Vec<f32>,
    /// Of its words; `None` where the model gives none.
    pub tokens: Option<TokenVectors>,
}

/// The vectors of a text's words, each of length 1, in eight bits a value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TokenVectors {
    width: usize,
    pieces: Vec<u32>,
    scales: Vec<f32>,
    values: Vec<i8>,
}

/// Bytes that are no vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DamagedVectors;

impl TokenVectors {
    /// Words by the number of their piece in the model's vocabulary, each with
    /// its vector of `width` values; vectors of another width are left out.
    pub fn new<'a>(width: usize, words: impl IntoIterator<Item = (u32, &'a [f32])>) -> Self {
        let mut made = Self { width, ..Self::default() };
        for (piece, vector) in words {
            let Some((scale, values)) = quantised(vector).filter(|_| vector.len() == width) else { continue };
            made.pieces.push(piece);
            made.scales.push(scale);
            made.values.extend(values);
        }
        made
    }

    pub fn pieces(&self) -> &[u32] {
        &self.pieces
    }

    fn vectors(&self) -> impl Iterator<Item = (&[i8], f32)> {
        self.values.chunks_exact(self.width.max(1)).zip(self.scales.iter().copied())
    }

    /// For each word here, the similarity of the nearest word of `text`, 0 if
    /// there is none: from −1 to 1.
    pub fn nearest(&self, text: &TokenVectors) -> Vec<f32> {
        if self.width != text.width {
            return vec![0.0; self.pieces.len()];
        }
        let best = |(own, scale): (&[i8], f32)| {
            let all = text.vectors().map(|(other, of)| dot(own, other) as f32 * of);
            all.reduce(f32::max).map_or(0.0, |best| best * scale)
        };
        self.vectors().map(best).collect()
    }

    /// As bytes: width and count (u32, little-endian), then for each word its
    /// piece (u32), its scale (f32) and its values.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + self.pieces.len() * (8 + self.width));
        bytes.extend(u32::try_from(self.width).unwrap_or(0).to_le_bytes());
        bytes.extend(u32::try_from(self.pieces.len()).unwrap_or(0).to_le_bytes());
        for ((vector, scale), piece) in self.vectors().zip(&self.pieces) {
            bytes.extend(piece.to_le_bytes());
            bytes.extend(scale.to_le_bytes());
            bytes.extend(vector.iter().map(|value| value.to_le_bytes()[0]));
        }
        bytes
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DamagedVectors> {
        let (width, rest) = number(bytes)?;
        let (count, mut rest) = number(rest)?;
        let (width, count) = (width as usize, count as usize);
        let whole = width.checked_add(8).and_then(|word| word.checked_mul(count));
        if whole != Some(rest.len()) || (width == 0 && count > 0) {
            return Err(DamagedVectors);
        }
        let mut read = Self { width, ..Self::default() };
        for _ in 0..count {
            let (piece, after) = number(rest)?;
            let (scale, after) = number(after)?;
            let (values, after) = after.split_at_checked(width).ok_or(DamagedVectors)?;
            read.pieces.push(piece);
            read.scales.push(f32::from_bits(scale));
            read.values.extend(values.iter().map(|value| i8::from_le_bytes([*value])));
            rest = after;
        }
        Ok(read)
    }
}

fn number(bytes: &[u8]) -> Result<(u32, &[u8]), DamagedVectors> {
    let (number, rest) = bytes.split_first_chunk::<4>().ok_or(DamagedVectors)?;
    Ok((u32::from_le_bytes(*number), rest))
}

/// A vector in eight bits a value, with what these are to be multiplied by to make its
/// length 1; none for one without a direction.
pub(crate) fn quantised(vector: &[f32]) -> Option<(f32, Vec<i8>)> {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    let largest = vector.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    if !length.is_normal() || largest == 0.0 {
        return None;
    }
    let values = vector.iter().map(|value| (value / largest * 127.0).round() as i8);
    Some((largest / 127.0 / length, values.collect()))
}

/// Sixteen sums side by side, which processors do at once: more than twice as fast here
/// as one.
pub(crate) fn dot(one: &[i8], other: &[i8]) -> i32 {
    let product = |(one, other): (&i8, &i8)| i32::from(*one) * i32::from(*other);
    let ((ones, rest), (others, of_other)) = (one.as_chunks::<16>(), other.as_chunks::<16>());
    let mut sums = [0; 16];
    for (one, other) in ones.iter().zip(others) {
        for (sum, pair) in sums.iter_mut().zip(one.iter().zip(other)) {
            *sum += product(pair);
        }
    }
    sums.iter().sum::<i32>() + rest.iter().zip(of_other).map(product).sum::<i32>()
}

/// The similarity of two vectors of length 1: from −1 to 1; 0 if they come from
/// different models.
pub fn cosine(one: &[f32], other: &[f32]) -> f32 {
    if one.len() != other.len() {
        return 0.0;
    }
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vectors() -> impl Strategy<Value = Vec<Vec<f32>>> {
        proptest::collection::vec(proptest::collection::vec(-1.0f32..1.0, 8), 1..6)
    }

    fn quantised(vectors: &[Vec<f32>]) -> TokenVectors {
        TokenVectors::new(8, vectors.iter().zip(1..).map(|(vector, piece)| (piece, vector.as_slice())))
    }

    fn unit(vector: &[f32]) -> Vec<f32> {
        let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
        vector.iter().map(|value| value / length).collect()
    }

    proptest! {
        #[test]
        fn eight_bits_lose_little(question in vectors(), text in vectors()) {
            let long = |vector: &Vec<f32>| cosine(vector, vector) > 0.01;
            prop_assume!(question.iter().all(long) && text.iter().all(long));
            let found = quantised(&question).nearest(&quantised(&text));
            for (own, found) in question.iter().zip(found) {
                let exact = text.iter().map(|other| cosine(&unit(own), &unit(other))).reduce(f32::max).unwrap();
                prop_assert!((found - exact).abs() < 0.03, "{} is not {}", found, exact);
            }
        }

        #[test]
        fn bytes_are_read_as_they_were_written(vectors in vectors()) {
            let written = quantised(&vectors);
            prop_assert_eq!(TokenVectors::from_bytes(&written.to_bytes()), Ok(written));
        }

        #[test]
        fn damaged_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            // Whatever is read is whole.
            if let Ok(read) = TokenVectors::from_bytes(&bytes) {
                prop_assert_eq!(read.to_bytes().len(), bytes.len());
            }
        }
    }
}
