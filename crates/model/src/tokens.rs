//! Counting tokens with a real tokenizer.
//!
//! cl100k_base is exact for OpenAI's older models and close for the others; a
//! budget of 80 % of the window leaves room for the difference.

/// The tokens of a text in cl100k_base.
pub fn count(text: &str) -> usize {
    bpe_openai::cl100k_base().count(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_as_the_published_tokenizer_does() {
        // Examples of OpenAI's cookbook for cl100k_base.
        assert_eq!(count("tiktoken is great!"), 6);
        assert_eq!(count("antidisestablishmentarianism"), 6);
        assert_eq!(count("2 + 2 = 4"), 7);
        assert_eq!(count("お誕生日おめでとう"), 9);
        assert_eq!(count(""), 0);
    }
}
