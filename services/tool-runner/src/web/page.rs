//! What a page says to a reader. Pure.

use dom_smoothie::{Config, Readability, TextMode};
use encoding_rs::{Encoding, UTF_8};

use super::Fetched;

/// Elements of a page that are looked through.
const ELEMENTS: usize = 100_000;

/// Its title and text; nothing for what is no text.
pub(super) fn readable(page: &Fetched) -> Option<(String, String)> {
    let encoding = Encoding::for_label(page.charset.as_bytes()).unwrap_or(UTF_8);
    let text = || encoding.decode(&page.body).0.into_owned();
    match page.kind.as_str() {
        "text/html" | "application/xhtml+xml" => Some(article(&text())),
        kind if kind.starts_with("text/") || kind.ends_with("json") || kind.ends_with("xml") => {
            Some((String::new(), text()))
        }
        _ => None,
    }
}

/// What Mozilla's Readability takes for the article, else all text of the page.
fn article(html: &str) -> (String, String) {
    let config = Config { max_elements_to_parse: ELEMENTS, text_mode: TextMode::Formatted, ..Config::default() };
    let Ok(mut page) = Readability::new(html, None, Some(config)) else { return Default::default() };
    let title = page.get_article_title().to_string();
    match page.parse() {
        Ok(article) if !article.text_content.trim().is_empty() => (title, article.text_content.trim().to_owned()),
        _ => (title, everything(html)),
    }
}

fn everything(html: &str) -> String {
    let page = dom_query::Document::from(html);
    page.select("script, style, noscript, template, head").remove();
    page.formatted_text().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn page(kind: &str, charset: &str, body: &[u8]) -> Fetched {
        let (url, body) = ("https://example.org/".to_owned(), body.to_owned());
        Fetched { url, kind: kind.into(), charset: charset.into(), body, is_cut: false }
    }

    #[test]
    fn an_article_is_what_is_read() {
        let words = "The wombat digs at night, and sleeps through the day in a burrow of its own. ".repeat(20);
        let html = format!(
            "<html><head><title>Wombats</title><script>steal()</script></head><body><nav><a href=/>Home</a></nav>\
             <article><h1>Wombats</h1><p>{words}</p><p>{words}</p></article><!-- hidden --></body></html>"
        );
        let (title, text) = readable(&page("text/html", "utf-8", html.as_bytes())).unwrap();
        assert_eq!(title, "Wombats");
        assert!(text.contains("digs at night") && !text.contains("steal") && !text.contains("hidden"), "{text}");
    }

    #[test]
    fn a_short_page_is_read_whole_and_bytes_are_none() {
        let short = page("text/html", "iso-8859-1", b"<title>T</title><p>Caf\xe9 is open.</p><script>x</script>");
        assert_eq!(readable(&short).unwrap(), ("T".into(), "Caf\u{e9} is open.".into()));
        assert_eq!(readable(&page("application/json", "utf-8", b"{}")).unwrap().1, "{}");
        assert_eq!(readable(&page("image/png", "utf-8", b"\x89PNG")), None);
    }

    proptest! {
        #[test]
        fn no_page_breaks_it(html in "[<>/a-z \"=&;!\\-]{0,200}") {
            prop_assert!(readable(&page("text/html", "utf-8", html.as_bytes())).is_some());
        }
    }
}
